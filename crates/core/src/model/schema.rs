//! The JSON Schema of a job document, made from the types and the rules by which workers read it.
//! Clients check documents by it.
//!
//! `x-problem` and `x-remedy` are the texts for a value that is refused by the other keywords;
//! `x-refuses` is a pattern for the characters that are named then. `x-maxBytes`, `x-maxValues` and
//! `x-maxTextLength` limit what JSON Schema cannot limit. `x-date` requires a day that exists.

use std::{env, fs, path::Path};

use serde_json::{Value, json};

use super::Kind;
use super::parse::Document;
use super::rules::{BLANK, DOCUMENT, Field, MAX_TEXT, MAX_VALUES, PARENT_FOLDER, Rule};
use crate::sanitize::is_unprintable;

/// The one field that can be absent, but not null.
const NOT_NULL: &str = "board_type";

const UUID: &str = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
const FINGERPRINT: &str = "^sha256:([0-9a-fA-F]{64}|[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){31})$";
const DATE: &str =
    "(?!-000000)([0-9]{4}|[+-]00[0-9]{4})(-MONTH-DAY|MONTHDAY)([ Tt]TIME(OFFSET)?)?(ZONE)?";
/// The parts of [`DATE`]. The last that is replaced comes last.
const DATE_PARTS: [(&str, &str); 8] = [
    ("TIME", "HOUR(:MINUTE(:(MINUTE|60)FRACTION)?|MINUTE((MINUTE|60)FRACTION)?)?"),
    ("OFFSET", "[zZ]|[+-](HOUR|2[45])(:MINUTE(:MINUTEFRACTION)?|MINUTE(MINUTEFRACTION)?)?"),
    ("ZONE", r"\[!?[A-Za-z._][A-Za-z0-9._+/-]*\]"),
    ("MONTH", "(0[1-9]|1[0-2])"),
    ("DAY", "(0[1-9]|[12][0-9]|3[01])"),
    ("HOUR", "([01][0-9]|2[0-3])"),
    ("MINUTE", "[0-5][0-9]"),
    ("FRACTION", "([.,][0-9]{1,9})?"),
];

#[test]
fn clients_have_the_schema_of_these_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../clients/python/src/mission_worker/job.schema.json");
    let text = format!("{:#}\n", schema());
    if env::var_os("MISSION_WRITE_SCHEMA").is_some() {
        fs::write(&path, &text).expect("a writable file");
    }
    let shipped = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        shipped, text,
        "regenerate it with MISSION_WRITE_SCHEMA=1 cargo test -p mission-core --lib model::schema"
    );
}

fn schema() -> Value {
    let mut schema = schemars::schema_for!(Document).to_value();
    let mut parts = schema["$defs"].take();
    let action = parts.as_object_mut().unwrap().shift_remove("Action").unwrap();
    let mut actions = vec![Value::Null];
    actions.extend(action["oneOf"].as_array().unwrap().iter().map(|one| one["const"].clone()));
    for part in parts.as_object_mut().unwrap().values_mut().chain([&mut schema]) {
        simplify(part, &actions);
    }
    schema["$defs"] = parts;
    schema["type"] = json!("object");
    extend(&mut schema["properties"]["version"], json!({ "const": 1 }));
    extend(&mut schema["properties"]["kind"], json!({ "enum": Kind::ALL.map(Kind::as_str) }));
    add_rules(&mut schema, "", &DOCUMENT);
    schema
}

/// Gives each property a plain list of types, and each object its type where it is used, so that a
/// checker finds one fault at one place.
fn simplify(part: &mut Value, actions: &[Value]) {
    let required = part["required"].as_array().cloned().unwrap_or_default();
    part.as_object_mut().unwrap().retain(|name, value| name != "type" && !value.is_null());
    for (name, property) in part["properties"].as_object_mut().unwrap() {
        if let Some(either) = property.as_object_mut().unwrap().shift_remove("anyOf") {
            property["$ref"] = either[0]["$ref"].clone();
        }
        if property["$ref"] == "#/$defs/Action" {
            extend(property, json!({ "$ref": null, "type": "string", "enum": actions }));
        } else if !property["$ref"].is_null() {
            property["type"] = json!("object");
        } else if !property["items"].is_null() {
            property["items"]["type"] = json!("object");
        }
        if property["type"].is_string() && !required.contains(&json!(name)) && name != NOT_NULL {
            property["type"] = json!([property["type"], "null"]);
        }
        property
            .as_object_mut()
            .unwrap()
            .retain(|name, value| name != "format" && !value.is_null());
    }
}

/// Adds the keywords of the rules to the part at a place of the schema.
fn add_rules(schema: &mut Value, part: &str, fields: &[Field]) {
    for (name, rule) in fields {
        let field = schema.pointer_mut(&format!("{part}/properties/{name}"));
        let field = field.unwrap_or_else(|| panic!("there is a rule for {name}, but no field"));
        if let Rule::Part(fields) = rule {
            let part = field["$ref"].as_str().expect("the part of a field")[1..].to_owned();
            add_rules(schema, &part, fields);
        } else {
            extend(field, keywords(*rule));
        }
    }
}

/// Returns the keywords for the content of a field.
fn keywords(rule: Rule) -> Value {
    let (problem, remedy) = rule.form();
    let form =
        |pattern: &str| json!({ "pattern": pattern, "x-problem": problem, "x-remedy": remedy });
    let line = |refused: fn(char) -> bool| {
        let class = class(refused);
        let mut line = form(&format!("^[^{class}]*$"));
        line["x-refuses"] = json!(format!("[{class}]"));
        line
    };
    let not = |pattern: &str, problem: &str, remedy: &str| {
        json!({ "not": {
            "type": "string", "pattern": pattern, "x-problem": problem, "x-remedy": remedy,
        } })
    };
    let blanks = format!("[{}]*", class(char::is_whitespace));
    let mut keywords = match rule {
        Rule::Text(limit)
        | Rule::Line(limit)
        | Rule::Folder(limit)
        | Rule::Words(limit)
        | Rule::Token(limit) => json!({ "maxLength": limit }),
        Rule::Bytes(limit) => json!({ "x-maxBytes": limit }),
        Rule::Any => json!({ "x-maxTextLength": MAX_TEXT, "x-maxValues": MAX_VALUES }),
        Rule::List(limit, _) => {
            json!({ "maxItems": limit, "x-remedy": "send them in several jobs" })
        }
        Rule::Uuid => form(&format!("^([0-9a-fA-F]{{32}}|(urn:uuid:)?{UUID}|\\{{{UUID}\\}})$")),
        Rule::Fingerprint => form(FINGERPRINT),
        Rule::Date => {
            let replaced = |text: String, (part, by): (&str, &str)| text.replace(part, by);
            let date = DATE_PARTS.into_iter().fold(DATE.to_owned(), replaced);
            form(&format!("^({date})?$"))
        }
        Rule::Part(_) => json!({}),
    };
    match rule {
        Rule::Line(_) => extend(&mut keywords, line(is_unprintable)),
        Rule::Folder(_) => {
            extend(&mut keywords, line(is_unprintable));
            let (problem, remedy) = PARENT_FOLDER;
            extend(&mut keywords, not(r"(^|[/\\])\.\.([/\\]|$)", problem, remedy));
        }
        Rule::Words(_) => {
            extend(&mut keywords, not(&format!("^{blanks}$"), BLANK, remedy));
            extend(&mut keywords, line(char::is_control));
        }
        Rule::Token(_) => {
            extend(&mut keywords, line(char::is_control));
            let inside = format!("[^{}]*", class(char::is_control));
            keywords["pattern"] = json!(format!("^{blanks}{inside}{blanks}$"));
        }
        Rule::Date => keywords["x-date"] = json!(true),
        _ => {}
    }
    keywords
}

/// Returns the members of a character class of a regular expression.
fn class(holds: impl Fn(char) -> bool) -> String {
    let is_member = |code: &u32| char::from_u32(*code).is_some_and(&holds);
    let codes: Vec<u32> = (0..=0xffff).filter(is_member).collect();
    let runs = codes.chunk_by(|one, next| one + 1 == *next);
    let shown = |run: &[u32]| match run {
        [first, .., last] => format!("\\u{first:04x}-\\u{last:04x}"),
        only => format!("\\u{:04x}", only[0]),
    };
    runs.map(shown).collect()
}

fn extend(schema: &mut Value, keywords: Value) {
    let Value::Object(keywords) = keywords else { panic!("keywords: {keywords}") };
    schema.as_object_mut().expect("an object").extend(keywords);
}

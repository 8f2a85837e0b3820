//! The JSON Schema of a job document, by which clients check documents. Its rules are those by
//! which workers check; its descriptions are those of the types.
//!
//! `x-problem` and `x-remedy` are the texts for a value that is refused by the other keywords;
//! `x-refuses` is a pattern for the characters that are named then. `x-maxBytes`, `x-maxValues` and
//! `x-maxTextLength` limit what JSON Schema cannot limit. `x-date` requires a date or a date-time,
//! `x-whole` a number that is written without a fraction.

use std::{env, fs, path::Path};

use serde_json::{Map, Value, json};

use super::Kind;
use super::parse::Document;
use super::rules::{
    BLANK, DOCUMENT, Fields, Form, MAX_AGENTS, MAX_COUNT, MAX_TEXT, MAX_VALUES, Need, OUT_OF_RANGE,
    PARENT, Rule, SEVERAL_JOBS, Texts,
};

const UUID: &str = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
const FINGERPRINT: &str = "^sha256:([0-9a-fA-F]{64}|[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){31})$";

#[test]
fn clients_have_the_schema_of_these_types_and_rules() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../clients/python/src/mission_worker/job.schema.json");
    let types = schemars::schema_for!(Document).to_value();
    let mut schema = json!({
        "$schema": types["$schema"],
        "title": types["title"],
        "description": types["description"],
    });
    extend(&mut schema, part(DOCUMENT, &types, &types));
    extend(&mut schema["properties"]["version"], json!({ "const": 1 }));
    extend(&mut schema["properties"]["kind"], json!({ "enum": Kind::ALL.map(Kind::as_str) }));
    let text = format!("{schema:#}\n");
    if env::var_os("MISSION_WRITE_SCHEMA").is_some() {
        fs::write(&path, &text).expect("a writable file");
    }
    let shipped = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        shipped, text,
        "regenerate it with MISSION_WRITE_SCHEMA=1 cargo test -p mission-core --lib model::schema"
    );
}

/// Returns the schema of the object with these fields. The type that describes it must have them
/// too.
fn part(fields: Fields, described: &Value, types: &Value) -> Value {
    let names: Vec<_> = fields.iter().map(|(name, ..)| *name).collect();
    let of_type = described["properties"].as_object().expect("the fields of a type");
    let of_type: Vec<_> = of_type.keys().collect();
    assert_eq!(names, of_type, "the fields in the rules and in the type");
    let required = fields.iter().filter(|(_, need, _)| *need == Need::Must);
    let required: Vec<Value> = required.map(|(name, ..)| json!(name)).collect();
    let of_type = described["required"].as_array().cloned().unwrap_or_default();
    assert_eq!(required, of_type, "the required fields in the rules and in the type");
    let property = |(name, need, rule): &(&str, Need, Rule)| {
        let field = &described["properties"][name];
        let mut property = json!({ "description": field["description"] });
        extend(&mut property, keywords(*rule, field, types));
        if let (Need::May, Some(kind)) = (need, property.get("type")) {
            property["type"] = json!([kind, "null"]);
        }
        if let (Need::May, Some(names)) =
            (need, property.get_mut("enum").and_then(Value::as_array_mut))
        {
            names.push(Value::Null);
        }
        ((*name).to_owned(), property)
    };
    json!({
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": fields.iter().map(property).collect::<Map<_, _>>(),
    })
}

/// Returns the keywords for the type and the content of a field.
fn keywords(rule: Rule, field: &Value, types: &Value) -> Value {
    match rule {
        Rule::Part(fields) => {
            let reference = field["$ref"].as_str().or(field["anyOf"][0]["$ref"].as_str());
            let of_type = types.pointer(&reference.expect("a type")[1..]).expect("its schema");
            part(fields, of_type, types)
        }
        Rule::Agents => json!({
            "type": "array",
            "items": { "type": "object", "$ref": "#/properties/agent" },
            "maxItems": MAX_AGENTS,
            "x-remedy": SEVERAL_JOBS,
        }),
        Rule::Switch => json!({ "type": "boolean" }),
        Rule::Count => {
            let (problem, remedy) = OUT_OF_RANGE;
            json!({
                "type": "integer", "minimum": 0, "maximum": MAX_COUNT, "x-whole": true,
                "x-problem": problem, "x-remedy": remedy,
            })
        }
        Rule::Choice(names) => json!({ "type": "string", "enum": names }),
        Rule::Bytes(limit) => json!({ "type": "string", "x-maxBytes": limit }),
        Rule::Any => json!({ "x-maxTextLength": MAX_TEXT, "x-maxValues": MAX_VALUES }),
        Rule::Text(limit, form) => {
            let mut keywords = json!({ "type": "string", "maxLength": limit });
            extend(&mut keywords, keywords_of_form(form));
            keywords
        }
    }
}

fn keywords_of_form(form: Form) -> Value {
    let but = |keywords: Value, (problem, remedy): Texts| {
        let mut keywords = keywords;
        extend(&mut keywords, json!({ "x-problem": problem, "x-remedy": remedy }));
        keywords
    };
    let not = |pattern: &str, texts: Texts| json!({ "not": but(json!({ "type": "string", "pattern": pattern }), texts) });
    let blanks = format!("[{}]*", class(char::is_whitespace));
    let refused = form.refused().map(class).unwrap_or_default();
    let inside = format!("[^{refused}]*");
    let pattern = match form {
        Form::Free => return json!({}),
        Form::Date => return but(json!({ "x-date": true }), form.texts()),
        Form::Line | Form::Folder | Form::Words => format!("^{inside}$"),
        Form::Token => format!("^{blanks}{inside}{blanks}$"),
        Form::Id => format!("^([0-9a-fA-F]{{32}}|(urn:uuid:)?{UUID}|\\{{{UUID}\\}})$"),
        Form::Hash => FINGERPRINT.to_owned(),
    };
    let mut keywords = match form {
        Form::Words => not(&format!("^{blanks}$"), BLANK),
        _ => json!({}),
    };
    extend(&mut keywords, but(json!({ "pattern": pattern }), form.texts()));
    if form.refused().is_some() {
        keywords["x-refuses"] = json!(format!("[{refused}]"));
    }
    if form == Form::Folder {
        extend(&mut keywords, not(r"(^|[/\\])\.\.([/\\]|$)", PARENT));
    }
    keywords
}

/// Returns the members of a character class of a regular expression.
fn class(holds: fn(char) -> bool) -> String {
    let is_member = |code: &u32| char::from_u32(*code).is_some_and(holds);
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

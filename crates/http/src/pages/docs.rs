//! The page of the API: its `OpenAPI` document, as people read it.

use askama::Template;
use serde_json::Value;

use super::html::Prose;
use super::layout::Frame;

/// The page.
#[derive(Template)]
#[template(path = "dashboard/docs.html")]
pub struct Page {
    /// What is around it.
    pub frame: Frame,
    /// What the API is.
    pub about: Prose,
    /// What can be asked.
    pub operations: Vec<Operation>,
    /// What is sent and answered.
    pub schemas: Vec<Schema>,
}

/// Something that can be asked.
#[derive(Debug)]
pub struct Operation {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What it does.
    pub summary: Prose,
    /// More of it.
    pub description: Prose,
    /// What is said with it, and what is answered.
    pub parts: Vec<Member>,
}

/// Something that is sent or answered.
#[derive(Debug)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: Prose,
    /// What it has.
    pub members: Vec<Member>,
}

/// A part of one of these.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it is, in a word or two.
    pub kind: Kind,
    /// What it says.
    pub description: Prose,
}

/// What something is: words, and perhaps a schema.
#[derive(Debug, Default)]
pub struct Kind {
    /// Words before the name of the schema, or all there is.
    pub words: String,
    /// The schema.
    pub schema: Option<String>,
}

impl Page {
    /// The page of a document.
    pub fn of(frame: Frame, document: &Value) -> Self {
        let operations = members(&document["paths"]).flat_map(|(path, methods)| {
            members(methods).map(move |(method, operation)| Operation::of(path, method, operation))
        });
        let schemas = members(&document["components"]["schemas"])
            .map(|(name, schema)| Schema::of(name, schema));
        Self {
            about: prose(&document["info"]["description"]),
            operations: operations.collect(),
            schemas: schemas.collect(),
            frame,
        }
    }
}

impl Operation {
    fn of(path: &str, method: &str, operation: &Value) -> Self {
        let parameters = list(&operation["parameters"]).map(|parameter| Member {
            name: text(&parameter["name"]),
            kind: Kind::of(&parameter["schema"]),
            description: prose(&parameter["description"]),
        });
        let bodies = members(&operation["requestBody"]["content"]).map(|(kind, content)| Member {
            name: "body".to_owned(),
            kind: Kind::of(&content["schema"]),
            description: Prose(kind.to_owned()),
        });
        let answers = members(&operation["responses"]).map(|(status, answer)| Member {
            name: status.to_owned(),
            kind: members(&answer["content"])
                .next()
                .map_or_else(Kind::default, |(_, content)| Kind::of(&content["schema"])),
            description: prose(&answer["description"]),
        });
        Self {
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: prose(&operation["summary"]),
            description: prose(&operation["description"]),
            parts: parameters.chain(bodies).chain(answers).collect(),
        }
    }
}

impl Schema {
    fn of(name: &str, schema: &Value) -> Self {
        let member = |(name, member): (&str, &Value)| Member {
            name: name.to_owned(),
            kind: Kind::of(member),
            description: prose(&member["description"]),
        };
        Self {
            name: name.to_owned(),
            description: prose(&schema["description"]),
            members: members(&schema["properties"]).map(member).collect(),
        }
    }
}

impl Kind {
    fn of(schema: &Value) -> Self {
        if let Some(name) =
            schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next())
        {
            return Self { words: String::new(), schema: Some(name.to_owned()) };
        }
        if let Some(choice) = list(&schema["oneOf"]).find(|choice| choice["type"] != "null") {
            return Self::of(choice);
        }
        if schema["items"].is_object() {
            let Self { words, schema } = Self::of(&schema["items"]);
            return Self { words: format!("list of {words}").trim_end().to_owned(), schema };
        }
        let words = match &schema["type"] {
            Value::Array(kinds) => kinds
                .iter()
                .filter(|kind| **kind != "null")
                .map(text)
                .collect::<Vec<_>>()
                .join(" or "),
            kind => text(kind),
        };
        Self { words, schema: None }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn prose(value: &Value) -> Prose {
    Prose(text(value))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

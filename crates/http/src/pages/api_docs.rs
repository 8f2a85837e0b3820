//! The page of the API: its `OpenAPI` document for people.

use askama::Template;
use axum::response::Html;
use serde_json::Value;

use super::html::Prose;
use super::layout::Frame;
use super::page_context::PageContext;
use super::written;
use crate::api;
use crate::problem::Answer;

#[derive(Template)]
#[template(path = "dashboard/docs.html")]
struct ApiDocsPage<'a> {
    frame: Frame,
    /// The description of the API.
    about: &'a str,
    operations: Vec<Operation<'a>>,
    schemas: Vec<Schema<'a>>,
}

/// An operation of the API.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    summary: &'a str,
    description: &'a str,
    /// The parameters, bodies and responses.
    parts: Vec<Member<'a>>,
}

/// A schema of bodies and responses.
struct Schema<'a> {
    name: &'a str,
    description: &'a str,
    members: Vec<Member<'a>>,
}

/// A part of an operation or a schema.
struct Member<'a> {
    name: &'a str,
    kind: MemberType<'a>,
    description: &'a str,
}

/// The type of a member: words, and the name of the schema after them, if there is one.
type MemberType<'a> = (String, Option<&'a str>);

pub(super) async fn show(context: PageContext) -> Answer<Html<String>> {
    let glance = context.glance().await?;
    let document = api::docs::value();
    let operations = members(&document["paths"]).flat_map(|(path, methods)| {
        members(methods).map(move |(method, operation)| Operation::of(path, method, operation))
    });
    let schemas = members(&document["components"]["schemas"]).map(|(name, schema)| Schema {
        name,
        description: text(&schema["description"]),
        members: members(&schema["properties"])
            .map(|(name, member)| Member {
                name,
                kind: type_of(member),
                description: text(&member["description"]),
            })
            .collect(),
    });
    Ok(written(&ApiDocsPage {
        frame: context.frame("API", &glance),
        about: text(&document["info"]["description"]),
        operations: operations.collect(),
        schemas: schemas.collect(),
    }))
}

impl<'a> Operation<'a> {
    fn of(path: &'a str, method: &'a str, operation: &'a Value) -> Self {
        let parameters = list(&operation["parameters"]).map(|parameter| Member {
            name: text(&parameter["name"]),
            kind: type_of(&parameter["schema"]),
            description: text(&parameter["description"]),
        });
        let bodies = members(&operation["requestBody"]["content"]).map(|(kind, content)| Member {
            name: "body",
            kind: type_of(&content["schema"]),
            description: kind,
        });
        let answers = members(&operation["responses"]).map(|(status, answer)| {
            let mut contents = members(&answer["content"]);
            let content = contents.next().map(|(_, content)| type_of(&content["schema"]));
            Member {
                name: status,
                kind: content.unwrap_or_default(),
                description: text(&answer["description"]),
            }
        });
        Self {
            method,
            path,
            summary: text(&operation["summary"]),
            description: text(&operation["description"]),
            parts: parameters.chain(bodies).chain(answers).collect(),
        }
    }
}

fn type_of(schema: &Value) -> MemberType<'_> {
    let reference = schema["$ref"].as_str();
    if let Some(name) = reference.and_then(|reference| reference.rsplit('/').next()) {
        return (String::new(), Some(name));
    }
    if let Some(choice) = list(&schema["oneOf"]).find(|choice| choice["type"] != "null") {
        return type_of(choice);
    }
    if schema["items"].is_object() {
        let (words, schema) = type_of(&schema["items"]);
        return (format!("list of {words}").trim_end().to_owned(), schema);
    }
    let words = match &schema["type"] {
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter(|kind| **kind != "null").map(text);
            kinds.collect::<Vec<_>>().join(" or ")
        }
        kind => text(kind).to_owned(),
    };
    (words, None)
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

//! The page of the API: its `OpenAPI` document for people.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::Value;

use super::html::Prose;
use super::layout::Frame;
use super::page_context::PageContext;
use super::written;
use crate::problem::Problem;
use crate::{App, api};

/// Returns the route of the page.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/api/docs", get(show))
}

#[derive(Template)]
#[template(path = "dashboard/docs.html")]
struct ApiDocsPage {
    frame: Frame,
    /// The description of the API.
    about: Prose,
    operations: Vec<Operation>,
    schemas: Vec<Schema>,
}

/// An operation of the API.
#[derive(Debug)]
struct Operation {
    method: String,
    path: String,
    summary: Prose,
    description: Prose,
    /// The parameters, bodies and responses.
    parts: Vec<Member>,
}

/// A schema of bodies and responses.
#[derive(Debug)]
struct Schema {
    name: String,
    description: Prose,
    members: Vec<Member>,
}

/// A part of an operation or a schema.
#[derive(Debug)]
struct Member {
    name: String,
    kind: MemberType,
    description: Prose,
}

/// The type of a member.
#[derive(Debug, Default)]
struct MemberType {
    /// Words before the name of the schema, or alone.
    words: String,
    /// The name of the schema.
    schema: Option<String>,
}

async fn show(context: PageContext) -> Result<Html<String>, Problem> {
    let glance = context.glance().await?;
    Ok(written(&ApiDocsPage::of(context.frame("API", &glance), &api::docs::value())))
}

impl ApiDocsPage {
    fn of(frame: Frame, document: &Value) -> Self {
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
            kind: MemberType::of(&parameter["schema"]),
            description: prose(&parameter["description"]),
        });
        let bodies = members(&operation["requestBody"]["content"]).map(|(kind, content)| Member {
            name: "body".to_owned(),
            kind: MemberType::of(&content["schema"]),
            description: Prose(kind.to_owned()),
        });
        let answers = members(&operation["responses"]).map(|(status, answer)| Member {
            name: status.to_owned(),
            kind: members(&answer["content"])
                .next()
                .map_or_else(MemberType::default, |(_, content)| {
                    MemberType::of(&content["schema"])
                }),
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
            kind: MemberType::of(member),
            description: prose(&member["description"]),
        };
        Self {
            name: name.to_owned(),
            description: prose(&schema["description"]),
            members: members(&schema["properties"]).map(member).collect(),
        }
    }
}

impl MemberType {
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

//! The API's description: the document of it, made from the code, and a page of it that needs nothing else.

use std::fmt::Write as _;

use axum::Json;
use axum::response::Html;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

use super::Api;

/// `/api/v1/openapi.json`.
pub async fn document() -> Json<OpenApi> {
    Json(Api::openapi())
}

/// What all operations have in common.
pub struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        if let Some(components) = &mut document.components {
            let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
            components.add_security_scheme("token", SecurityScheme::Http(bearer));
        }
        let problem = json!({ "description": "What is wrong, and what to do",
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
        for path in document.paths.paths.values_mut() {
            for operation in [&mut path.get, &mut path.post].into_iter().flatten() {
                for status in ["4XX", "5XX"] {
                    let response = serde_json::from_value(problem.clone()).expect("it is a response");
                    operation.responses.responses.insert(status.to_owned(), response);
                }
            }
        }
    }
}

/// `/api/docs`.
pub async fn page() -> Html<String> {
    let document = serde_json::to_value(Api::openapi()).unwrap_or_default();
    let mut page = String::from("<!doctype html><html lang=en><meta charset=utf-8><title>API</title>");
    let info = &document["info"];
    let _ = write!(page, "<h1>{}</h1><p>{}</p>", text(&info["title"]), text(&info["description"]));
    page += "<p><a href=\"/api/v1/openapi.json\">openapi.json</a></p>";
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            describe(&mut page, path, method, operation);
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = write!(page, "<section id=\"{name}\"><h3>{name}</h3><p>{}</p><dl>", text(&schema["description"]));
        for (member, about) in schema["properties"].as_object().into_iter().flatten() {
            let _ =
                write!(page, "<dt><code>{member}</code> {}</dt><dd>{}</dd>", kind(about), text(&about["description"]));
        }
        page += "</dl></section>";
    }
    Html(page + "</html>")
}

fn describe(page: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        page,
        "<section><h2><code>{} {path}</code></h2><p>{}",
        method.to_uppercase(),
        text(&operation["summary"])
    );
    let _ = write!(page, " {}</p><dl>", text(&operation["description"]));
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let _ = write!(
            page,
            "<dt><code>{}</code> {} {}</dt><dd>{}</dd>",
            text(&parameter["name"]),
            text(&parameter["in"]),
            kind(&parameter["schema"]),
            text(&parameter["description"])
        );
    }
    for (kind_of, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ = write!(page, "<dt>body</dt><dd>{} {}</dd>", text(&json!(kind_of)), kind(&content["schema"]));
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let shape = response["content"].as_object().and_then(|content| content.values().next());
        let _ = write!(
            page,
            "<dt>{status}</dt><dd>{} {}</dd>",
            text(&response["description"]),
            shape.map_or_else(String::new, |shape| kind(&shape["schema"]))
        );
    }
    page.push_str("</dl></section>");
}

/// What a schema is, in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if schema["items"].is_object() {
        return format!("list of {}", kind(&schema["items"]));
    }
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        kind => text(kind),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

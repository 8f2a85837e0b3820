//! The `OpenAPI` document, generated from the code.

use axum::Json;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

use super::Api;

/// Handles `/api/v1/openapi.json`.
pub(crate) async fn document() -> Json<OpenApi> {
    Json(Api::openapi())
}

/// The additions to all operations: the security scheme and the error responses.
pub(crate) struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        if let Some(components) = &mut document.components {
            let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
            components.add_security_scheme("token", SecurityScheme::Http(bearer));
        }
        let problem = json!({
            "description": "The cause and the remedy",
            "content": {
                "application/problem+json": {
                    "schema": { "$ref": "#/components/schemas/Problem" },
                },
            },
        });
        for path in document.paths.paths.values_mut() {
            let methods = [&mut path.get, &mut path.post, &mut path.put, &mut path.delete];
            for operation in methods.into_iter().flatten() {
                for status in ["4XX", "5XX"] {
                    let response =
                        serde_json::from_value(problem.clone()).expect("it is a response");
                    operation.responses.responses.insert(status.to_owned(), response);
                }
            }
        }
    }
}

/// Returns the document as a value, for the page that shows it.
pub(crate) fn value() -> Value {
    serde_json::to_value(Api::openapi()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_runs_are_described_as_they_are_in_json() {
        let document = value();
        let members = |schema: &str| -> Vec<String> {
            let members = document.pointer(&format!("/components/schemas/{schema}/properties"));
            let members = members.and_then(Value::as_object).expect("it is described");
            let mut members: Vec<String> = members.keys().cloned().collect();
            members.sort();
            members
        };
        assert_eq!(members("Failure"), ["action", "code", "message", "method", "remedy", "scope"]);
        assert_eq!(members("Remedy"), ["actor", "command", "retry_helps"]);
        assert_eq!(members("Step"), ["duration_ms", "name", "note"]);
        assert_eq!(members("Change"), ["diff", "what"]);
        let result = members("AttemptResult");
        assert_eq!(
            result,
            ["action", "code", "message", "method", "outcome", "remedy", "scope", "steps"]
        );
        assert!(members("Report").contains(&"gateway".to_owned()));
        // Each reference has its schema.
        let text = document.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap_or_default();
            let schema = document.pointer(&format!("/components/schemas/{name}"));
            assert!(schema.is_some(), "{name} is not described");
        }
    }
}

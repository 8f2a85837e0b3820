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
            for operation in [&mut path.get, &mut path.post].into_iter().flatten() {
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

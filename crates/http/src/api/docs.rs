//! The API's description: the document of it, made from the code, and a page of it that needs
//! nothing else.

use axum::Json;
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
                    let response =
                        serde_json::from_value(problem.clone()).expect("it is a response");
                    operation.responses.responses.insert(status.to_owned(), response);
                }
            }
        }
    }
}

/// The same as a value, for the page that shows it.
pub fn value() -> Value {
    serde_json::to_value(Api::openapi()).unwrap_or_default()
}

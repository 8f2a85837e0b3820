//! Tests of the handshake: accepted clients, and the errors for others.

use mission_gateway_sim::{Gateway, Options, Profile, Setup};
use serde_json::{Value, json};

use crate::client::{Client, Gone, signed_params};

const PROFILES: [Profile; 3] = [Profile::V2026_2_9, Profile::V2026_9_6, Profile::Scenario];

/// A change that makes the parameters of a `connect` invalid.
type Change = fn(&mut Value);

fn with_token(profile: Profile) -> Setup {
    Setup { token: Some("right".into()), ..Setup::new(profile) }
}

/// Connects with parameters changed by `change`, and returns the error and the end of the
/// connection.
async fn rejected(setup: Setup, change: impl Fn(&mut Value)) -> (Value, Gone) {
    let gateway = Gateway::start(setup).await.unwrap();
    let mut client = Client::open(&gateway.url()).await;
    let mut params = signed_params(&client.challenge, "right", 1);
    change(&mut params);
    let error = client.call("connect", params).await.unwrap().unwrap_err();
    (error, client.end().await)
}

#[tokio::test]
async fn the_recommended_parameters_are_accepted_everywhere() {
    for (profile, protocol) in PROFILES.into_iter().zip([3, 4, 3]) {
        let gateway = Gateway::start(with_token(profile)).await.unwrap();
        let mut client = Client::connected(&gateway.url(), "right").await;
        assert_eq!(client.hello["type"], "hello-ok");
        assert_eq!(client.hello["protocol"], protocol);
        assert!(
            client.hello["features"]["methods"]
                .as_array()
                .unwrap()
                .contains(&"config.patch".into())
        );
        client.ok("agents.list", json!({})).await;
        assert_eq!(gateway.connections(), 1);
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_the_remedy() {
    for profile in PROFILES {
        let gateway = Gateway::start(with_token(profile)).await.unwrap();
        let mut client = Client::open(&gateway.url()).await;
        let params = signed_params(&client.challenge, "wrong", 1);
        let error = client.call("connect", params).await.unwrap().unwrap_err();
        let remedy = match profile {
            Profile::Scenario => "set gateway.remote.token to match gateway.auth.token",
            _ => "provide gateway auth token",
        };
        assert_eq!(error["message"], format!("unauthorized: gateway token mismatch ({remedy})"));
        assert_eq!(client.end().await, Gone::Closed(1008));
    }
}

#[tokio::test]
async fn a_missing_token_is_distinguished_from_a_wrong_one() {
    let no_token = |params: &mut Value| {
        params.as_object_mut().unwrap().remove("auth");
        params.as_object_mut().unwrap().remove("device");
    };
    let (error, _) = rejected(with_token(Profile::Scenario), no_token).await;
    let text = "unauthorized: gateway token missing (set gateway.remote.token to match \
        gateway.auth.token)";
    assert_eq!(error["message"], text);
    let (error, gone) = rejected(with_token(Profile::V2026_9_6), no_token).await;
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("NOT_PAIRED"), &json!("device identity required"))
    );
    assert_eq!(gone, Gone::Closed(1008));
}

#[tokio::test]
async fn an_invalid_signature_is_refused() {
    let changes: [(Change, &str); 5] = [
        (|params| params["scopes"] = json!(["operator.admin"]), "device signature invalid"),
        (|params| params["device"]["signature"] = "AAAA".into(), "device signature invalid"),
        (|params| params["device"]["id"] = "00".into(), "device identity mismatch"),
        (|params| params["device"]["nonce"] = "other".into(), "device nonce mismatch"),
        (|params| params["device"]["signedAt"] = 1_000.into(), "device signature expired"),
    ];
    for profile in PROFILES {
        for (change, message) in changes {
            let (error, gone) = rejected(with_token(profile), change).await;
            assert_eq!((&error["message"], gone), (&json!(message), Gone::Closed(1008)));
        }
    }
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let only = |protocol: u64| {
        move |params: &mut Value| {
            params["minProtocol"] = protocol.into();
            params["maxProtocol"] = protocol.into();
        }
    };
    for (profile, wrong, right) in
        [(Profile::V2026_2_9, 4, 3), (Profile::V2026_9_6, 3, 4), (Profile::Scenario, 4, 3)]
    {
        let (error, gone) = rejected(with_token(profile), only(wrong)).await;
        assert_eq!(error["message"], "protocol mismatch");
        assert_eq!(error["details"]["expectedProtocol"], right);
        assert_eq!(gone, Gone::Closed(1002));
    }
}

#[tokio::test]
async fn parameters_are_strict() {
    let cases: [(Change, &str); 4] = [
        (|params| params["foo"] = 1.into(), "at root: unexpected property 'foo'"),
        (
            |params| params["client"]["mode"] = "other".into(),
            "at /client/mode: must be equal to one of the allowed values",
        ),
        (
            |params| params["client"]["platform"] = "".into(),
            "at /client/platform: must not have fewer than 1 characters",
        ),
        (
            |params| {
                params["device"].as_object_mut().unwrap().remove("nonce");
            },
            "at /device: must have required property 'nonce'",
        ),
    ];
    for (change, finding) in cases {
        let (error, gone) = rejected(with_token(Profile::V2026_9_6), change).await;
        assert_eq!(error["message"], format!("invalid connect params: {finding}"));
        assert_eq!(gone, Gone::Closed(1008));
    }
}

#[tokio::test]
async fn the_first_request_must_be_connect() {
    let gateway = Gateway::start(Setup::default()).await.unwrap();
    let mut client = Client::open(&gateway.url()).await;
    client.refused("health", json!({})).await;
    assert_eq!(client.end().await, Gone::Closed(1008));
    let mut client = Client::open(&gateway.url()).await;
    client.send_text("{".into()).await;
    assert_eq!(client.end().await, Gone::Closed(1000));
}

#[tokio::test]
async fn without_a_challenge_no_nonce_is_required() {
    let options = Options { challenge_delay_ms: -1, ..Options::default() };
    let gateway = Gateway::start(Setup { options, ..Setup::default() }).await.unwrap();
    let mut client = Client::open_silent(&gateway.url()).await;
    let mut params = signed_params(&json!({ "nonce": "", "ts": 1 }), "", 1);
    params.as_object_mut().unwrap().remove("device");
    client.call("connect", params).await.unwrap().unwrap();
    client.ok("health", json!({})).await;
}

#[tokio::test]
async fn a_challenge_can_come_late() {
    let options = Options { challenge_delay_ms: 20, ..Options::default() };
    let gateway = Gateway::start(Setup { options, ..Setup::default() }).await.unwrap();
    Client::connected(&gateway.url(), "").await;
}

#[tokio::test]
async fn an_unknown_device_waits_for_approval() {
    let options = Options { require_pairing: true, ..Options::default() };
    let gateway =
        Gateway::start(Setup { options, ..with_token(Profile::V2026_9_6) }).await.unwrap();
    let mut requests = Vec::new();
    for _ in 0..2 {
        let mut client = Client::open(&gateway.url()).await;
        let params = signed_params(&client.challenge, "right", 1);
        let error = client.call("connect", params).await.unwrap().unwrap_err();
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!("NOT_PAIRED"), &json!("pairing required"))
        );
        requests.push(error["details"]["requestId"].as_str().unwrap().to_owned());
        assert_eq!(client.end().await, Gone::Closed(1008));
    }
    assert_eq!(requests[0], requests[1], "a device keeps its request");
    assert_eq!(gateway.pending_devices(), requests[..1]);
    gateway.approve_devices();
    Client::connected(&gateway.url(), "right").await.ok("config.get", json!({})).await;
}

#[tokio::test]
async fn without_scopes_only_health_is_answered() {
    let expected = [("INVALID_REQUEST", Profile::V2026_2_9), ("FORBIDDEN", Profile::V2026_9_6)];
    for (code, profile) in expected {
        let options = Options { no_scopes: true, ..Options::default() };
        let gateway = Gateway::start(Setup { options, ..with_token(profile) }).await.unwrap();
        let mut client = Client::connected(&gateway.url(), "right").await;
        assert_eq!(client.hello["auth"]["scopes"], json!([]));
        client.ok("health", json!({})).await;
        let error =
            client.call("agents.create", json!({ "name": "x" })).await.unwrap().unwrap_err();
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!(code), &json!("missing scope: operator.admin"))
        );
    }
}

#[tokio::test]
async fn a_browser_like_client_without_a_device_gets_no_scopes_on_the_new_gateway() {
    let gateway = Gateway::start(with_token(Profile::V2026_9_6)).await.unwrap();
    let mut client = Client::open(&gateway.url()).await;
    let mut params = signed_params(&client.challenge, "right", 1);
    params.as_object_mut().unwrap().remove("device");
    params["client"]["mode"] = "ui".into();
    client.call("connect", params).await.unwrap().unwrap();
    assert_eq!(client.refused("agents.list", json!({})).await, "missing scope: operator.read");
}

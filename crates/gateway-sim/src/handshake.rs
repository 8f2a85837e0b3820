//! The method `connect`: checks the protocol, the token and the device of a client, and grants its
//! scopes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};

use crate::{
    answer::Refusal,
    calls::Inner,
    config::config_path,
    connection::TICK,
    files::sha256_hex,
    method::{METHODS, Method, properties, refuse_params},
    profile::Profile,
    world::{BASE, now_ms, random_id},
};

/// A client with an open session.
#[derive(Clone)]
pub(crate) struct Client {
    /// The number of its connection.
    pub(crate) number: u64,
    /// The scopes of the client; `None` allows everything.
    scopes: Option<Vec<String>>,
    /// The key by which its patches are counted: its device, or its connection without one.
    pub(crate) bucket: String,
}

/// The reason why a client is refused, and the close code that follows.
pub(crate) struct Rejection(pub(crate) Refusal, pub(crate) u16);

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self(refusal, 1008)
    }
}

impl Client {
    /// Checks that the client may call the method.
    pub(crate) fn authorise(&self, profile: Profile, method: &Method) -> Result<(), Refusal> {
        let (Some(scopes), Some(needed)) = (&self.scopes, method.scope(profile)) else {
            return Ok(());
        };
        let has = |scope: &str| scopes.iter().any(|own| own == scope);
        let covered = needed == "operator.read" && has("operator.write");
        if has("operator.admin") || has(&needed) || covered {
            return Ok(());
        }
        let message = format!("missing scope: {needed}");
        if !profile.is_new() {
            return Err(Refusal::invalid(message));
        }
        let details =
            json!({ "code": "MISSING_SCOPE", "missingScope": needed, "requiredScopes": [needed] });
        Err(Refusal::new("FORBIDDEN", message).with_details(details))
    }
}

/// Accepts a client or returns the reason for refusing it. `nonce` is the one in the challenge, if
/// a challenge was sent.
pub(crate) fn admit(
    inner: &mut Inner,
    number: u64,
    nonce: Option<&str>,
    params: &Value,
) -> Result<(Client, Value), Rejection> {
    let profile = inner.world.profile;
    check_shape(profile, nonce.is_some(), params)?;
    check_protocol(profile, params)?;
    let device = params.get("device").map(|device| verify_device(profile, nonce, params, device));
    let device = device.transpose()?;
    check_token(inner, params, device.as_deref())?;
    if let (true, Some(id)) = (inner.world.options.require_pairing, &device)
        && !inner.approved.contains(id)
    {
        let request = inner.pending.entry(id.clone()).or_insert_with(random_id).clone();
        return Err(Refusal::new("NOT_PAIRED", "pairing required")
            .with_details(json!({ "requestId": request }))
            .into());
    }
    let scopes = granted(inner, params, device.is_some());
    let hello = hello(inner, params, device.as_deref(), scopes.as_deref());
    let bucket = device.unwrap_or_else(|| format!("connection {number}"));
    Ok((Client { number, scopes, bucket }, hello))
}

const CLIENT_IDS: &str = "webchat-ui openclaw-control-ui webchat cli gateway-client openclaw-macos \
    openclaw-ios openclaw-android node-host test fingerprint openclaw-probe";
const CLIENT_MODES: &str = "webchat cli ui backend node probe test";

/// Checks every property as strictly as real gateways do.
fn check_shape(profile: Profile, challenged: bool, params: &Value) -> Result<(), Refusal> {
    let fields = |path, value, required: &str, optional: &str| {
        let known = format!("{required} {optional}");
        properties(path, value, required.split_whitespace(), &known, |_, _| Vec::new())
    };
    let optional = "caps commands permissions pathEnv role scopes device auth locale userAgent";
    let mut found = fields("", params, "minProtocol maxProtocol client", optional);
    let client = &params["client"];
    let optional = "displayName deviceFamily modelIdentifier instanceId";
    found.extend(fields("/client", client, "id version platform mode", optional));
    found.extend(one_of(profile, "/client/id", &client["id"], CLIENT_IDS));
    found.extend(one_of(profile, "/client/mode", &client["mode"], CLIENT_MODES));
    for name in ["version", "platform"].into_iter().filter(|name| client[name] == "") {
        let not = profile.not();
        found.push(format!("at /client/{name}: must {not} have fewer than 1 characters"));
    }
    if let Some(device) = params.get("device") {
        let (required, optional) = if profile.is_new() && challenged {
            ("id publicKey signature signedAt nonce", "")
        } else {
            ("id publicKey signature signedAt", "nonce")
        };
        found.extend(fields("/device", device, required, optional));
    }
    if let Some(auth) = params.get("auth") {
        found.extend(fields("/auth", auth, "", "token password deviceToken"));
    }
    refuse_params("connect", &found)
}

fn one_of(profile: Profile, path: &str, value: &Value, allowed: &str) -> Vec<String> {
    let allowed = || allowed.split_whitespace();
    if value.is_null() || allowed().any(|allowed| value == allowed) {
        return Vec::new();
    }
    if profile.is_new() {
        return vec![format!("at {path}: must be equal to one of the allowed values")];
    }
    let constants = allowed().map(|_| format!("at {path}: must be equal to constant"));
    constants.chain([format!("at {path}: must match a schema in anyOf")]).collect()
}

fn check_protocol(profile: Profile, params: &Value) -> Result<(), Rejection> {
    let own = profile.protocol();
    let offered = params["minProtocol"].as_u64().zip(params["maxProtocol"].as_u64());
    if offered.is_some_and(|(min, max)| (min..=max).contains(&own)) {
        return Ok(());
    }
    let mut details = json!({ "expectedProtocol": own });
    if profile.is_new() {
        details["code"] = "PROTOCOL_MISMATCH".into();
    }
    Err(Rejection(Refusal::invalid("protocol mismatch").with_details(details), 1002))
}

/// Checks that the client holds the key that its device is named after; returns the device id.
fn verify_device(
    profile: Profile,
    nonce: Option<&str>,
    params: &Value,
    device: &Value,
) -> Result<String, Refusal> {
    let invalid = |what: &str, code: &str| {
        coded(profile, Refusal::invalid(format!("device {what}")), &format!("DEVICE_AUTH_{code}"))
    };
    let text = |name: &str| device[name].as_str().unwrap_or_default();
    let key = URL_SAFE_NO_PAD.decode(text("publicKey")).unwrap_or_default();
    if sha256_hex(&key) != text("id") {
        return Err(invalid("identity mismatch", "DEVICE_ID_MISMATCH"));
    }
    let signed_at = device["signedAt"].as_u64().unwrap_or_default();
    let skew_ms = if profile <= Profile::V2026_2_9 { 600_000 } else { 120_000 };
    if now_ms().abs_diff(signed_at) > skew_ms {
        return Err(invalid("signature expired", "SIGNATURE_EXPIRED"));
    }
    if let (Some(sent), Some(echoed)) = (nonce, device["nonce"].as_str())
        && sent != echoed
    {
        return Err(invalid("nonce mismatch", "NONCE_MISMATCH"));
    }
    let key = <[u8; 32]>::try_from(key).ok().and_then(|key| VerifyingKey::from_bytes(&key).ok());
    let signature = URL_SAFE_NO_PAD.decode(text("signature")).ok();
    let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
    let verified = key.zip(signature).is_some_and(|(key, signature)| {
        key.verify_strict(signed_text(params, device).as_bytes(), &signature).is_ok()
    });
    if verified {
        Ok(text("id").to_owned())
    } else {
        Err(invalid("signature invalid", "SIGNATURE_INVALID"))
    }
}

/// Returns the text that a device signs: version 2 with a nonce, version 1 without.
fn signed_text(params: &Value, device: &Value) -> String {
    let scopes = requested_scopes(params).join(",");
    let token = params["auth"]["token"].as_str().unwrap_or_default();
    let role = params["role"].as_str().unwrap_or("operator");
    let client = |name: &str| params["client"][name].as_str().unwrap_or_default();
    let (id, mode, signed_at) = (client("id"), client("mode"), &device["signedAt"]);
    let device_id = device["id"].as_str().unwrap_or_default();
    let text = format!("{device_id}|{id}|{mode}|{role}|{scopes}|{signed_at}|{token}");
    device["nonce"].as_str().map_or(format!("v1|{text}"), |nonce| format!("v2|{text}|{nonce}"))
}

fn requested_scopes(params: &Value) -> Vec<String> {
    let scopes = params["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    scopes.map(str::to_owned).collect()
}

fn check_token(inner: &Inner, params: &Value, device: Option<&str>) -> Result<(), Refusal> {
    let Some(expected) = &inner.token else { return Ok(()) };
    let profile = inner.world.profile;
    let auth = &params["auth"];
    let given = auth["token"].as_str().filter(|token| !token.is_empty());
    let by_device = |id: &str| auth["token"] == device_token(expected, id).as_str();
    let by_password = profile.is_new() && auth["password"] == expected.as_str();
    if given == Some(expected) || device.is_some_and(by_device) || by_password {
        return Ok(());
    }
    let (code, refusal) = if given.is_some() {
        ("AUTH_TOKEN_MISMATCH", unauthorised(profile, params, "mismatch"))
    } else if device.is_none() && auth.get("password").is_none() && profile != Profile::Scenario {
        ("DEVICE_IDENTITY_REQUIRED", Refusal::new("NOT_PAIRED", "device identity required"))
    } else {
        ("AUTH_TOKEN_MISSING", unauthorised(profile, params, "missing"))
    };
    Err(coded(profile, refusal, code))
}

/// Adds the code that only new gateways have.
fn coded(profile: Profile, refusal: Refusal, code: &str) -> Refusal {
    if profile.is_new() { refusal.with_details(json!({ "code": code })) } else { refusal }
}

fn unauthorised(profile: Profile, params: &Value, what: &str) -> Refusal {
    let remedy = if profile == Profile::Scenario || params["client"]["mode"] == "cli" {
        "set gateway.remote.token to match gateway.auth.token"
    } else {
        "provide gateway auth token"
    };
    Refusal::invalid(format!("unauthorized: gateway token {what} ({remedy})"))
}

/// Returns the token that a device gets for later connections.
pub(crate) fn device_token(token: &str, device: &str) -> String {
    sha256_hex(format!("{token}|{device}").as_bytes())
}

/// Returns the scopes of the client. Only the gateway of the scenarios has none.
fn granted(inner: &Inner, params: &Value, has_device: bool) -> Option<Vec<String>> {
    let options = &inner.world.options;
    let requested = requested_scopes(params);
    let local = matches!(params["client"]["mode"].as_str(), Some("backend" | "cli"))
        && !options.require_pairing;
    match inner.world.profile {
        _ if options.no_scopes => Some(Vec::new()),
        Profile::Scenario => None,
        Profile::V2026_2_9 if requested.is_empty() => Some(vec!["operator.admin".into()]),
        Profile::V2026_2_9 => Some(requested),
        _ => Some(if has_device || local { requested } else { Vec::new() }),
    }
}

fn hello(inner: &Inner, params: &Value, device: Option<&str>, scopes: Option<&[String]>) -> Value {
    let world = &inner.world;
    let profile = world.profile;
    let default_id = world.default_id();
    let max_payload = profile.max_payload();
    // Real gateways answer this method too, without announcing it.
    let announced = METHODS.iter().filter(|method| method.name != "sessions.resolve");
    let methods: Vec<&str> = announced.map(|method| method.name).collect();
    let mut hello = json!({
        "type": "hello-ok",
        "protocol": profile.protocol(),
        "server": { "version": profile.version(), "connId": random_id() },
        "features": {
            "methods": methods,
            "events": ["connect.challenge", "chat", "presence", "tick", "shutdown", "health"],
        },
        "snapshot": {
            "presence": [],
            "health": world.health(),
            "stateVersion": { "presence": 1, "health": 1 },
            "uptimeMs": 0,
            "configPath": config_path(),
            "stateDir": format!("{BASE}/state"),
            "sessionDefaults": {
                "defaultAgentId": default_id, "mainKey": "main",
                "mainSessionKey": format!("agent:{default_id}:main"),
                "scope": "per-sender",
            },
        },
        "policy": {
            "maxPayload": max_payload,
            "maxBufferedBytes": max_payload * if profile.is_new() { 2 } else { 3 },
            "tickIntervalMs": u64::try_from(TICK.as_millis()).expect("a short time"),
        },
    });
    let role = params["role"].as_str().unwrap_or("operator");
    if profile.is_new() {
        hello["server"]["bootId"] = inner.boot_id.clone().into();
        hello["snapshot"]["appliedConfigHash"] = world.hash().into();
        hello["snapshot"]["sessionDefaults"]["ownership"] = world.ownership().into();
        hello["snapshot"]["sessionDefaults"]["selectionRequired"] = false.into();
        hello["auth"] = json!({ "method": "token", "role": role, "scopes": scopes });
    } else {
        hello["server"]["host"] = "simulated".into();
        if let Some(id) = device {
            let token = device_token(inner.token.as_deref().unwrap_or_default(), id);
            hello["auth"] = json!({ "deviceToken": token, "role": role, "issuedAtMs": now_ms() });
            // A gateway that does not check scopes omits them; an empty list would mean that
            // nothing is allowed.
            if let Some(mut scopes) = scopes.map(<[String]>::to_vec) {
                scopes.sort();
                hello["auth"]["scopes"] = scopes.into();
            }
        }
    }
    hello
}

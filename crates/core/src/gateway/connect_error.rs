//! The kinds of errors with which gateways refuse a connection.
//!
//! Old gateways tell these errors apart only by the message, newer ones also by `details.code`, so
//! the table has both.

use super::rpc_error::RpcError;

/// The kind of an error answer to `connect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectError {
    /// The device waits for approval.
    Pairing,
    /// The gateway has locked this address after too many wrong tokens.
    AddressLocked,
    /// The token is missing or wrong.
    Token,
    /// The gateway itself has no token configured.
    NoToken,
    /// The gateway expects a password.
    Password,
    /// The token of this device is wrong.
    DeviceToken,
    /// The signature has expired, so the clocks differ.
    Clocks,
    /// The signature or its nonce does not fit this connection.
    Proof,
    /// The gateway does not accept this device.
    Device,
    /// The gateway does not accept the `Origin` header.
    Origin,
    /// The gateway takes this worker for a browser.
    ControlUi,
    /// The gateway does not understand the parameters of `connect`.
    Params,
    /// The gateway speaks another version of the protocol.
    Protocol,
    /// The gateway needs maintenance before it accepts connections.
    Maintenance,
    /// The gateway is starting or restarting.
    Starting,
    /// The gateway gave a reason that is not in the table.
    Other,
}

impl ConnectError {
    /// Returns the kind of an error answer to `connect`.
    pub(crate) fn of(error: &RpcError) -> Self {
        let code = error.detail("code").unwrap_or_default();
        let fits = |(codes, forms, _): &&Row| codes.contains(&code) || error.is_form(forms);
        if is_pairing(error, code) {
            Self::Pairing
        } else if let Some((_, _, kind)) = ROWS.iter().find(fits) {
            *kind
        } else if error.needs_a_person().is_some() {
            Self::Maintenance
        } else if error.code == "UNAVAILABLE" {
            Self::Starting
        } else {
            Self::Other
        }
    }

    /// Returns `true` if the error is about the token. Gateways count these errors and lock out an
    /// address that causes too many of them.
    pub(super) const fn counts_against_address(self) -> bool {
        matches!(
            self,
            Self::Token | Self::NoToken | Self::Password | Self::DeviceToken | Self::AddressLocked
        )
    }
}

/// One kind of error, recognised by any of these codes or by any of these forms of the message.
type Row = (&'static [&'static str], &'static [&'static str], ConnectError);

/// The known kinds of errors. The first row that fits decides.
const ROWS: [Row; 13] = [
    (&["AUTH_RATE_LIMITED"], &["too many failed authentication*"], ConnectError::AddressLocked),
    (
        &["AUTH_DEVICE_TOKEN_MISMATCH"],
        &["unauthorized: device token mismatch*", "device token mismatch*"],
        ConnectError::DeviceToken,
    ),
    (
        &["AUTH_TOKEN_NOT_CONFIGURED"],
        &["unauthorized: gateway token not configured*"],
        ConnectError::NoToken,
    ),
    (
        &["AUTH_PASSWORD_MISSING", "AUTH_PASSWORD_MISMATCH", "AUTH_PASSWORD_NOT_CONFIGURED"],
        &["unauthorized: gateway password *"],
        ConnectError::Password,
    ),
    // The message of this error mentions the control UI as well.
    (&["CONTROL_UI_ORIGIN_NOT_ALLOWED"], &["origin not allowed*"], ConnectError::Origin),
    (
        &["CONTROL_UI_DEVICE_IDENTITY_REQUIRED"],
        &["control ui *", "protocol mismatch: control ui *"],
        ConnectError::ControlUi,
    ),
    (
        &["AUTH_TOKEN_MISMATCH", "AUTH_TOKEN_MISSING", "DEVICE_IDENTITY_REQUIRED"],
        &["device identity required*"],
        ConnectError::Token,
    ),
    (&["DEVICE_AUTH_SIGNATURE_EXPIRED"], &["device signature expired*"], ConnectError::Clocks),
    (
        &[
            "DEVICE_AUTH_NONCE_REQUIRED",
            "DEVICE_AUTH_NONCE_MISMATCH",
            "DEVICE_AUTH_SIGNATURE_INVALID",
        ],
        &["device nonce *", "device signature invalid*"],
        ConnectError::Proof,
    ),
    (
        &[],
        &["invalid connect params*", "invalid handshake*", "invalid-handshake*"],
        ConnectError::Params,
    ),
    (&["AUTH_REQUIRED", "AUTH_UNAUTHORIZED"], &["unauthorized*"], ConnectError::Token),
    (
        &[
            "DEVICE_AUTH_INVALID",
            "DEVICE_AUTH_DEVICE_ID_MISMATCH",
            "DEVICE_AUTH_PUBLIC_KEY_INVALID",
        ],
        &["device *"],
        ConnectError::Device,
    ),
    (&["PROTOCOL_MISMATCH"], &["protocol mismatch*"], ConnectError::Protocol),
];

fn is_pairing(error: &RpcError, code: &str) -> bool {
    let said = error.is_form(&["pairing required*"]) || error.detail("requestId").is_some();
    code == "PAIRING_REQUIRED" || (error.code == "NOT_PAIRED" && said)
}

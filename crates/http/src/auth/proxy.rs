//! Reverse proxies that are trusted to name the user and the client of a request.

use std::net::IpAddr;

use axum::http::HeaderMap;
pub use axum::http::HeaderName;
pub use ipnet::IpNet;

use super::permissions::Role;
use super::token::entries;

/// Headers in which proxies name the client or themselves. From a proxy that is not trusted, they
/// show that somebody else sent the request.
const FORWARDED: [&str; 7] = [
    "via",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cdn-loop",
];
/// The prefix of further such headers.
const FORWARDED_PREFIX: &str = "x-forwarded-";
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_HOST: &str = "x-forwarded-host";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The trusted proxies, and the headers in which they name users.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// The networks of the proxies.
    pub networks: Vec<IpNet>,
    /// The header with the user's name.
    pub user: Option<HeaderName>,
    /// The header with the user's roles; without it, all users are viewers.
    pub role: Option<HeaderName>,
}

impl Proxies {
    /// Returns whether an address is that of a trusted proxy.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&peer))
    }

    /// Returns the address of the original client, as far as trusted proxies name it.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let hops: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
        let hops = hops.join(",");
        // Our proxy added the last address. Those before an address that is not ours may be forged.
        let addresses = hops.rsplit(',').map_while(|hop| hop.trim().parse().ok());
        let mut client = peer;
        for address in addresses.map(|address: IpAddr| address.to_canonical()) {
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        client
    }

    /// Returns the user that a trusted proxy names, and the highest of the roles that it names.
    pub(crate) fn user(&self, peer: IpAddr, headers: &HeaderMap) -> Option<(String, Option<Role>)> {
        let name = headers.get(self.user.as_ref().filter(|_| self.trusts(peer))?)?;
        let name =
            String::from_utf8_lossy(name.as_bytes()).trim().chars().take(128).collect::<String>();
        let role = match &self.role {
            None => Some(Role::Viewer),
            Some(header) => {
                let named = headers.get_all(header).iter().filter_map(|roles| roles.to_str().ok());
                named
                    .flat_map(|roles| roles.split(','))
                    .filter_map(|role| role.trim().parse().ok())
                    .max()
            }
        };
        (!name.is_empty()).then_some((name, role))
    }

    /// Returns the host that the client requested.
    pub(crate) fn host<'a>(&self, peer: IpAddr, headers: &'a HeaderMap) -> Option<&'a str> {
        let forwarded = headers.get(FORWARDED_HOST).filter(|_| self.trusts(peer));
        forwarded.or_else(|| headers.get("host"))?.to_str().ok()
    }

    /// Returns whether the client used HTTPS.
    pub(crate) fn is_secure(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        self.trusts(peer)
            && headers.get(FORWARDED_PROTO).is_some_and(|scheme| scheme.as_bytes() == b"https")
    }
}

/// Parses `http.proxies`: addresses and networks with white space or commas between them.
pub fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |entry: &str| {
        let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            format!(
                "`{entry}` is not an address or network; use one such as 10.0.0.5 or 10.0.0.0/8"
            )
        })
    };
    entries(text).map(network).collect()
}

/// Returns whether some proxy forwarded the request.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        FORWARDED.contains(&name.as_str()) || name.as_str().starts_with(FORWARDED_PREFIX)
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        Proxies {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            user: Some(HeaderName::from_static("x-user")),
            role: Some(HeaderName::from_static("x-groups")),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    const OURS: [u8; 4] = [10, 0, 0, 1];

    #[test]
    fn only_a_trusted_proxy_names_users() {
        let said = headers(&[("x-user", "sam"), ("x-groups", "staff, viewer,operator")]);
        assert_eq!(
            proxies().user(OURS.into(), &said),
            Some(("sam".to_owned(), Some(Role::Operator)))
        );
        assert_eq!(proxies().user([192, 0, 2, 1].into(), &said), None);
        assert_eq!(
            proxies().user(OURS.into(), &headers(&[("x-user", "sam")])),
            Some(("sam".to_owned(), None))
        );
    }

    #[test]
    fn a_forwarded_request_is_known_by_its_headers() {
        for name in
            ["via", "forwarded", "x-forwarded-for", "x-forwarded-server", "x-real-ip", "cdn-loop"]
        {
            assert!(is_forwarded(&headers(&[(name, "")])), "{name}");
        }
        assert!(!is_forwarded(&headers(&[
            ("host", "localhost"),
            ("x-forward", "a"),
            ("referer", "via")
        ])));
    }

    #[test]
    fn a_client_cannot_forge_its_address() {
        let client = |hops| {
            proxies().client(OURS.into(), &headers(&[("x-forwarded-for", hops)])).to_string()
        };
        assert_eq!(client("192.0.2.9"), "192.0.2.9");
        assert_eq!(client("198.51.100.1, 192.0.2.9, 10.0.0.2"), "192.0.2.9");
        assert_eq!(client("nonsense"), "10.0.0.1");
        let direct =
            proxies().client([192, 0, 2, 1].into(), &headers(&[("x-forwarded-for", "10.0.0.7")]));
        assert_eq!(direct.to_string(), "192.0.2.1");
    }
}

//! The hosts and networks that may be called as gateways. Jobs name addresses, and a producer must
//! not be able to make the worker connect to arbitrary hosts.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// The hosts and networks that may be called as gateways; all, unless some are named.
///
/// As text: networks (`10.0.0.0/8`), addresses, host names (`gw.example.com`) and domains
/// (`*.example.com`), separated by commas or white space. A host that is allowed by name may have
/// any address; any other host is allowed if the addresses of its name are, and only those are
/// called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowlist {
    networks: Vec<IpNet>,
    /// The names in lower case; those that begin with a dot are domains.
    names: Vec<String>,
}

/// The reason why a text is not an allowlist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a network such as 10.0.0.0/8, an address, a host name, nor a domain such as \
        *.example.com"
)]
pub struct AllowlistError(String);

/// The error for a gateway outside the allowlist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the gateway's host is not allowed: {host}{}",
    .address.map(|address| format!(" ({address})")).unwrap_or_default()
)]
pub struct OutOfReach {
    /// The host of the gateway's url.
    pub host: String,
    /// The first address of the host, if the host is a name.
    pub address: Option<IpAddr>,
}

impl From<OutOfReach> for io::Error {
    fn from(error: OutOfReach) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, error)
    }
}

impl OutOfReach {
    /// Returns this error if it is the cause of an error of [`super::Connector`].
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|cause| cause.downcast_ref())
    }
}

impl FromStr for Allowlist {
    type Err = AllowlistError;

    fn from_str(text: &str) -> Result<Self, AllowlistError> {
        let mut allowlist = Self::default();
        for entry in text.split([',', ' ', '\t', '\r', '\n']).filter(|entry| !entry.is_empty()) {
            if let Ok(network) =
                entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from))
            {
                allowlist.networks.push(network.trunc());
                continue;
            }
            let name =
                entry.strip_prefix('*').filter(|domain| domain.starts_with('.')).unwrap_or(entry);
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            // A name that looks like a number is a mistyped address or network.
            let all_digits = name.chars().all(|c| c.is_ascii_digit() || c == '.');
            if all_digits || !name.chars().all(is_name) || entry == "." {
                return Err(AllowlistError(entry.to_owned()));
            }
            allowlist.names.push(name.to_ascii_lowercase());
        }
        Ok(allowlist)
    }
}

impl fmt::Display for Allowlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .names
            .iter()
            .map(|name| if name.starts_with('.') { format!("*{name}") } else { name.clone() });
        let all: Vec<String> = self.networks.iter().map(ToString::to_string).chain(names).collect();
        f.write_str(if all.is_empty() { "anywhere" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

impl Allowlist {
    /// Returns the addresses of a host that may be called; at least one.
    pub(super) fn allowed(
        &self,
        host: &str,
        found: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, OutOfReach> {
        let is_anywhere = self.networks.is_empty() && self.names.is_empty();
        if is_anywhere || self.knows(host) {
            return Ok(found);
        }
        let refused = found.first().map(SocketAddr::ip).filter(|ip| host.parse() != Ok(*ip));
        // An IPv4 address mapped to IPv6 is the same address.
        let is_allowed = |at: &SocketAddr| {
            self.networks.iter().any(|network| network.contains(&at.ip().to_canonical()))
        };
        let allowed: Vec<_> = found.into_iter().filter(is_allowed).collect();
        if allowed.is_empty() {
            Err(OutOfReach { host: host.to_owned(), address: refused })
        } else {
            Ok(allowed)
        }
    }

    fn knows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.names
            .iter()
            .any(|name| if name.starts_with('.') { host.ends_with(name) } else { host == *name })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn allows(allowlist: &str, host: &str, addresses: &[&str]) -> Result<usize, OutOfReach> {
        let found = addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 1)).collect();
        allowlist.parse::<Allowlist>().unwrap().allowed(host, found).map(|left| left.len())
    }

    #[test]
    fn an_empty_allowlist_allows_every_address() {
        assert_eq!(allows("", "169.254.169.254", &["169.254.169.254"]), Ok(1));
    }

    #[test]
    fn addresses_count_and_not_the_text_of_a_name() {
        let allowlist = "10.0.0.0/8, fd00::/8 192.0.2.7";
        assert_eq!(allows(allowlist, "10.1.2.3", &["10.1.2.3"]), Ok(1));
        assert_eq!(
            allows(allowlist, "gw", &["192.0.2.7", "192.0.2.8", "fd00::1"]),
            Ok(2),
            "only those that may be called"
        );
        assert_eq!(allows(allowlist, "gw", &["::ffff:10.0.0.1"]), Ok(1));
        let refused = allows(allowlist, "10.evil.example", &["127.0.0.1"]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the gateway's host is not allowed: 10.evil.example (127.0.0.1)"
        );
        assert_eq!(
            allows(allowlist, "::1", &["::1"]).unwrap_err().to_string(),
            "the gateway's host is not allowed: ::1"
        );
    }

    #[test]
    fn hosts_and_domains_count_by_name() {
        let allowlist = "gw.example.com *.Gateways.example";
        for host in
            ["GW.example.com", "gw.example.com.", "a.gateways.example", "b.a.gateways.example"]
        {
            assert_eq!(allows(allowlist, host, &["127.0.0.1"]), Ok(1), "{host}");
        }
        for host in ["x.gw.example.com", "gateways.example", "evilgateways.example", "127.0.0.1"] {
            assert!(allows(allowlist, host, &["127.0.0.1"]).is_err(), "{host}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for wrong in ["10.0.0.0/33", "http://host", "10.0.0", "a/b", "*example.com"] {
            assert_eq!(wrong.parse::<Allowlist>().unwrap_err(), AllowlistError(wrong.to_owned()));
        }
        assert_eq!(
            "10.1.0.0/8 gw *.x.y".parse::<Allowlist>().unwrap().to_string(),
            "10.0.0.0/8, gw, *.x.y"
        );
        assert_eq!(Allowlist::default().to_string(), "anywhere");
    }
}

//! Where gateways may be. Jobs name addresses, and whoever can enqueue one must not make the worker
//! knock at any door.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// The hosts and networks in which gateways may be; all, unless some are named.
///
/// As text: networks (`10.0.0.0/8`), addresses, host names (`gw.example.com`) and names of whole
/// domains (`*.example.com`), with commas or white space between them. A host that is allowed by
/// name may have any address; any other is allowed if the addresses that its name stands for are,
/// and only those are called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowlist {
    networks: Vec<IpNet>,
    /// In lower case; those that begin with a dot are domains.
    names: Vec<String>,
}

/// Why a text does not say where gateways may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a network such as 10.0.0.0/8, an address, a host name, nor a domain such as \
        *.example.com"
)]
pub struct AllowlistError(String);

/// Says that a gateway is where none may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gateways may not be at {host}{}", .address.map(|address| format!(" \
    ({address})")).unwrap_or_default())]
pub struct OutOfReach {
    /// The host of the gateway's url.
    pub host: String,
    /// What its name stands for, if it is one.
    pub address: Option<IpAddr>,
}

impl From<OutOfReach> for io::Error {
    fn from(error: OutOfReach) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, error)
    }
}

impl OutOfReach {
    /// The cause of an error of [`super::Connector`], if it is this one.
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|cause| cause.downcast_ref())
    }
}

impl FromStr for Allowlist {
    type Err = AllowlistError;

    fn from_str(text: &str) -> Result<Self, AllowlistError> {
        let mut reach = Self::default();
        for entry in text.split([',', ' ', '\t', '\r', '\n']).filter(|entry| !entry.is_empty()) {
            if let Ok(network) =
                entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from))
            {
                reach.networks.push(network.trunc());
                continue;
            }
            let name =
                entry.strip_prefix('*').filter(|domain| domain.starts_with('.')).unwrap_or(entry);
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            // What looks like a number is an address or network with a mistake in it.
            let all_digits = name.chars().all(|c| c.is_ascii_digit() || c == '.');
            if all_digits || !name.chars().all(is_name) || entry == "." {
                return Err(AllowlistError(entry.to_owned()));
            }
            reach.names.push(name.to_ascii_lowercase());
        }
        Ok(reach)
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
    /// Of the addresses that a host stands for, those that may be called; at least one.
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
        // An IPv4 address in the dress of IPv6 is the same door.
        let allowed: Vec<_> =
            found.into_iter().filter(|at| self.has(at.ip().to_canonical())).collect();
        if allowed.is_empty() {
            Err(OutOfReach { host: host.to_owned(), address: refused })
        } else {
            Ok(allowed)
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
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

    fn allows(reach: &str, host: &str, addresses: &[&str]) -> Result<usize, OutOfReach> {
        let found = addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 1)).collect();
        reach.parse::<Allowlist>().unwrap().allowed(host, found).map(|left| left.len())
    }

    #[test]
    fn nothing_named_is_anywhere() {
        assert_eq!(allows("", "169.254.169.254", &["169.254.169.254"]), Ok(1));
    }

    #[test]
    fn addresses_count_and_not_what_a_name_says() {
        let reach = "10.0.0.0/8, fd00::/8 192.0.2.7";
        assert_eq!(allows(reach, "10.1.2.3", &["10.1.2.3"]), Ok(1));
        assert_eq!(
            allows(reach, "gw", &["192.0.2.7", "192.0.2.8", "fd00::1"]),
            Ok(2),
            "only those that may be called"
        );
        assert_eq!(allows(reach, "gw", &["::ffff:10.0.0.1"]), Ok(1));
        let refused = allows(reach, "10.evil.example", &["127.0.0.1"]).unwrap_err();
        assert_eq!(refused.to_string(), "gateways may not be at 10.evil.example (127.0.0.1)");
        assert_eq!(
            allows(reach, "::1", &["::1"]).unwrap_err().to_string(),
            "gateways may not be at ::1"
        );
    }

    #[test]
    fn hosts_and_domains_count_by_name() {
        let reach = "gw.example.com *.Gateways.example";
        for host in
            ["GW.example.com", "gw.example.com.", "a.gateways.example", "b.a.gateways.example"]
        {
            assert_eq!(allows(reach, host, &["127.0.0.1"]), Ok(1), "{host}");
        }
        for host in ["x.gw.example.com", "gateways.example", "evilgateways.example", "127.0.0.1"] {
            assert!(allows(reach, host, &["127.0.0.1"]).is_err(), "{host}");
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

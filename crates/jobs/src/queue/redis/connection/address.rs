//! Reads the address of Redis from a url.
//!
//! The client library reads urls of one server. Those of Sentinels and clusters name several
//! servers, which no url syntax allows. Each of them is read as a url of its own, so that names,
//! ports and passwords follow the same rules everywhere.

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, parse_redis_url,
};

const SENTINEL_PORT: u16 = 26379;
/// The most common faults of a url with a valid scheme.
const ESCAPES: &str = "it has no host, or a port that is not a number; write %40 for @, %3A for \
    :, %2F for /, %3F for ?, %23 for # and %25 for % in user names and passwords";

/// The server or servers to connect to.
pub(crate) enum Address {
    /// The address of a single server.
    Server(ConnectionInfo),
    /// The server that these Sentinels call the master of this name.
    Sentinel {
        /// The Sentinels, all with the same login.
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// The login and database of the master.
        redis: RedisConnectionInfo,
    },
    /// The cluster that contains these nodes.
    Cluster(Vec<ConnectionInfo>),
}

impl Address {
    /// Parses a url. The error describes the fault but never contains any part of the url, because
    /// each may be a piece of a password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it does not begin with a scheme")?;
        let address = match scheme {
            "redis+sentinel" => sentinel("redis", rest)?,
            "rediss+sentinel" => sentinel("rediss", rest)?,
            "redis+cluster" => cluster("redis", rest)?,
            "rediss+cluster" => cluster("rediss", rest)?,
            "redis" | "rediss" | "unix" => Self::Server(server(url, None)?),
            _ => return Err("its scheme is not known".to_owned()),
        };
        Ok(address)
    }

    /// Returns whether the connections are encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        let info = match self {
            Self::Server(info) => Some(info),
            Self::Sentinel { sentinels: infos, .. } | Self::Cluster(infos) => infos.first(),
        };
        info.is_some_and(is_tls)
    }
}

/// Returns whether connections to this server are encrypted.
pub(crate) fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

fn sentinel(scheme: &str, rest: &str) -> Result<Address, String> {
    let Parts { login, hosts, path, query } = Parts::split(rest)?;
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() {
        return Err(
            "it does not end with /NAME, the master's name as the Sentinels know it".to_owned()
        );
    }
    let sentinel_login = match query.map(|query| query.strip_prefix("sentinel=")) {
        None => String::new(),
        Some(Some(login)) => format!("{login}@"),
        Some(None) => return Err("after ? it may only have sentinel=USER:PASSWORD".to_owned()),
    };
    let sentinels = hosts
        .iter()
        .map(|host| server(&format!("{scheme}://{sentinel_login}{host}"), Some(SENTINEL_PORT)));
    let redis = server(&format!("{scheme}://{login}{}/{database}", hosts[0]), None)?;
    Ok(Address::Sentinel {
        sentinels: sentinels.collect::<Result<_, _>>()?,
        master: master.to_owned(),
        redis: redis.redis_settings().clone(),
    })
}

fn cluster(scheme: &str, rest: &str) -> Result<Address, String> {
    let Parts { login, hosts, path, query } = Parts::split(rest)?;
    if !path.is_empty() || query.is_some() {
        return Err("a cluster has no databases; end the url after the last port".to_owned());
    }
    let nodes = hosts.iter().map(|host| server(&format!("{scheme}://{login}{host}"), None));
    Ok(Address::Cluster(nodes.collect::<Result<_, _>>()?))
}

fn server(url: &str, default_port: Option<u16>) -> Result<ConnectionInfo, String> {
    let mut url = parse_redis_url(url).ok_or(ESCAPES)?;
    if url.port().is_none() && default_port.is_some() {
        url.set_port(default_port).map_err(|()| ESCAPES)?;
    }
    let info = url.into_connection_info().map_err(|error| match error.detail() {
        // The detail may contain a part of the url.
        Some(_) => "an option after ? is not known".to_owned(),
        None => error.to_string(),
    })?;
    match info.addr() {
        ConnectionAddr::TcpTls { insecure: true, .. } => {
            Err("#insecure is not supported; give the authority's certificate as redis.ca_file"
                .to_owned())
        }
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } if host.is_empty() => {
            Err(ESCAPES.to_owned())
        }
        _ => Ok(info),
    }
}

/// `[user:password@]host,host[/path][?query]`
struct Parts<'a> {
    /// The login with its `@`, or empty.
    login: &'a str,
    /// The hosts, at least one.
    hosts: Vec<&'a str>,
    /// The path without its `/`.
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn split(rest: &'a str) -> Result<Self, String> {
        let (rest, query) =
            rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let hosts: Vec<_> = hosts.split(',').collect();
        if hosts.iter().any(|host| host.is_empty()) {
            return Err(ESCAPES.to_owned());
        }
        Ok(Self { login, hosts, path, query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(info: &ConnectionInfo) -> String {
        let login = info.redis_settings();
        let (user, password) = (login.username().unwrap_or("-"), login.password().unwrap_or("-"));
        format!("{user}:{password}@{} {}", info.addr(), login.db())
    }

    #[test]
    fn sentinels_have_a_login_and_a_port_of_their_own() {
        let url = "redis+sentinel://app:p%40ss@one,[::1]:7/the-master/3?sentinel=:other";
        let Ok(Address::Sentinel { sentinels, master, redis }) = Address::parse(url) else {
            panic!()
        };
        assert_eq!(
            sentinels.iter().map(shown).collect::<Vec<_>>(),
            ["-:other@one:26379 0", "-:other@::1:7 0"]
        );
        assert_eq!(
            (master.as_str(), redis.username(), redis.password()),
            ("the-master", Some("app"), Some("p@ss"))
        );
        assert_eq!(redis.db(), 3);
    }

    #[test]
    fn nodes_of_a_cluster_share_their_login() {
        let Ok(Address::Cluster(nodes)) = Address::parse("rediss+cluster://app:pw@one:1,two")
        else {
            panic!()
        };
        assert_eq!(
            nodes.iter().map(shown).collect::<Vec<_>>(),
            ["app:pw@one:1 0", "app:pw@two:6379 0"]
        );
        assert!(Address::Cluster(nodes).is_tls());
    }

    #[test]
    fn errors_contain_no_part_of_the_url() {
        for (url, said) in [
            ("hunter2", "scheme"),
            ("http://:hunter2@host", "scheme"),
            ("redis://:hunter2/hunter2@host", "%2F"),
            ("redis://:@/hunter2", "hostname"),
            ("redis://host/hunter2", "database"),
            ("redis://host:1?protocol=hunter2@host", "option after ?"),
            ("rediss://:hunter2@host/#insecure", "redis.ca_file"),
            ("redis+sentinel://:hunter2@host", "/NAME"),
            ("redis+sentinel://:hunter2@host,/name", "%2F"),
            ("redis+sentinel://host/name/hunter2", "database"),
            ("redis+sentinel://host/name?password=hunter2", "sentinel=USER:PASSWORD"),
            ("redis+cluster://:hunter2@host/1", "no databases"),
            ("redis+cluster://:hunter2@host:port", "%2F"),
        ] {
            let Err(reason) = Address::parse(url) else { panic!("{url} was accepted") };
            assert!(reason.to_lowercase().contains(&said.to_lowercase()), "{url}: {reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }
}

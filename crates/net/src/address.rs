//! Listening addresses: `localhost:4317`, `0.0.0.0:4318`, `:8888`, `[::1]:0`, Unix sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::error::{NetError, describe};

/// Connections that may wait to be accepted; the kernel caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP, plain or under TLS.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// The TCP address that was bound, with the port the system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }
}

/// Splits `host:port`; the host may be empty or in brackets.
///
/// # Errors
/// No port, or one that is not a number up to 65535.
pub fn split_host_port(endpoint: &str) -> Result<(&str, u16), NetError> {
    let complain = |why: &str| {
        NetError::Config(format!(
            "invalid endpoint {endpoint:?}: {why}; write host:port, such as localhost:4317"
        ))
    };
    let (host, port) = endpoint
        .rsplit_once(':')
        .ok_or_else(|| complain("missing port"))?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner
            .strip_suffix(']')
            .ok_or_else(|| complain("missing `]`"))?,
        None if host.contains(':') => return Err(complain("too many colons")),
        None => host,
    };
    let port = port
        .parse()
        .map_err(|_| complain("the port is not a number up to 65535"))?;
    Ok((host, port))
}

/// Binds a TCP address.
///
/// A name such as `localhost` is resolved, and IPv4 is preferred, as in the reference. No host,
/// `0.0.0.0` and `[::]` listen on every address of both families.
///
/// # Errors
/// [`NetError::Config`] for what is no address; [`NetError::Listen`] when it cannot be bound.
pub fn listen_tcp(endpoint: &str) -> Result<Listener, NetError> {
    let (host, port) = split_host_port(endpoint)?;
    let failed = |what| {
        move |e: io::Error| NetError::Listen {
            network: "tcp",
            address: endpoint.to_owned(),
            what,
            why: describe(&e),
        }
    };
    let ip: Option<IpAddr> = if host.is_empty() {
        Some(Ipv6Addr::UNSPECIFIED.into())
    } else {
        host.parse().ok()
    };
    let socket = match ip {
        Some(ip) if ip.is_unspecified() => bind_any(port),
        Some(ip) => bind(SocketAddr::new(ip, port), false),
        None => bind(resolve(host, port).map_err(failed("lookup"))?, false),
    };
    let listener = socket
        .and_then(|socket| {
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket.into())
        })
        .map_err(failed("bind"))?;
    Ok(Listener::Tcp(listener))
}

/// Binds a Unix socket; a socket file that nobody listens on any more is replaced.
///
/// # Errors
/// [`NetError::Listen`].
pub fn listen_unix(path: &str) -> Result<Listener, NetError> {
    let bound = UnixListener::bind(path).or_else(|e| {
        let abandoned = e.kind() == io::ErrorKind::AddrInUse
            && std::os::unix::net::UnixStream::connect(Path::new(path)).is_err();
        if !abandoned {
            return Err(e);
        }
        std::fs::remove_file(path)?;
        UnixListener::bind(path)
    });
    bound.map(Listener::Unix).map_err(|e| NetError::Listen {
        network: "unix",
        address: path.to_owned(),
        what: "bind",
        why: describe(&e),
    })
}

/// Every address of both families, or of IPv4 where the kernel has no IPv6.
fn bind_any(port: u16) -> io::Result<Socket> {
    match bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), true) {
        Err(e) if e.kind() != io::ErrorKind::AddrInUse => {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false)
        }
        other => other,
    }
}

fn bind(address: SocketAddr, both_families: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if both_families {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Every address of a host name.
pub(crate) fn resolve_all(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let all = resolve_all(host, port)?;
    let first = all.iter().find(|a| a.is_ipv4()).or(all.first());
    first
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn endpoints_are_split() {
        assert_eq!(
            split_host_port("localhost:4317").unwrap(),
            ("localhost", 4317)
        );
        assert_eq!(split_host_port(":0").unwrap(), ("", 0));
        assert_eq!(split_host_port("[::1]:80").unwrap(), ("::1", 80));
        for bad in ["localhost", "", "a:b", "a:70000", "::1:80", "[::1:80", "a:"] {
            let text = split_host_port(bad).unwrap_err().to_string();
            assert!(text.contains("host:port"), "{text}");
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = listen_tcp("localhost:0").unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
        let text = listen_tcp(&address.to_string()).unwrap_err().to_string();
        assert_eq!(
            text,
            format!("listen tcp {address}: bind: address already in use")
        );
    }

    #[tokio::test]
    async fn no_host_listens_on_every_address() {
        for endpoint in [":0", "0.0.0.0:0", "[::]:0"] {
            let listener = listen_tcp(endpoint).unwrap();
            let port = listener.local_addr().unwrap().port();
            std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        }
    }

    #[tokio::test]
    async fn unknown_hosts_are_named() {
        let text = listen_tcp("no-such-host.invalid:1")
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with("listen tcp no-such-host.invalid:1: lookup:"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn an_abandoned_unix_socket_is_replaced_and_a_used_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s").to_string_lossy().into_owned();
        let first = listen_unix(&path).unwrap();
        assert!(
            listen_unix(&path)
                .unwrap_err()
                .to_string()
                .contains("address already in use")
        );
        drop(first);
        listen_unix(&path).unwrap();
    }
}

//! Sockets that take datagrams: UDP, and Unix sockets of the datagram kind.
//!
//! Nothing is answered here, and nothing is queued besides the kernel's buffer: what a program does
//! not read in time is lost, as senders of such protocols expect.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{UdpSocket, UnixDatagram};

use crate::address::{resolve_all, split_host_port};
use crate::error::{NetError, describe};

/// The largest payload that a datagram can have.
pub const MAX_DATAGRAM: usize = 65_535;

/// Addresses that a UDP socket listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpFamily {
    /// What the host name gives, IPv4 preferred; both families when there is no host.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// A bound datagram socket. The file of a Unix socket is removed when this is dropped.
#[derive(Debug)]
pub struct DatagramSocket {
    inner: Inner,
    path: Option<PathBuf>,
}

#[derive(Debug)]
enum Inner {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl DatagramSocket {
    /// Waits for a datagram; its length in `buffer` and who sent it (Unix senders have no address).
    /// What does not fit is cut off; [`MAX_DATAGRAM`] bytes always do. Safe to cancel.
    ///
    /// # Errors
    /// Those of the system. The socket stays usable.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        match &self.inner {
            Inner::Udp(socket) => {
                let (length, sender) = socket.recv_from(buffer).await?;
                // A socket for both families gives IPv4 senders as `::ffff:a.b.c.d`.
                let ip = sender.ip().to_canonical();
                Ok((length, Some(SocketAddr::new(ip, sender.port()))))
            }
            Inner::Unix(socket) => Ok((socket.recv(buffer).await?, None)),
        }
    }

    /// A datagram that is there already; `None` when there is none.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let length = match &self.inner {
            Inner::Udp(socket) => socket.try_recv(buffer),
            Inner::Unix(socket) => socket.try_recv(buffer),
        };
        match length {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The UDP address that was bound, with the port the system chose for port 0.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.inner {
            Inner::Udp(socket) => socket.local_addr().ok(),
            Inner::Unix(_) => None,
        }
    }

    /// Asks the kernel for a receive buffer of so many bytes; the kernel caps it
    /// (`net.core.rmem_max`).
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        match &self.inner {
            Inner::Udp(socket) => SockRef::from(socket).set_recv_buffer_size(bytes),
            Inner::Unix(socket) => SockRef::from(socket).set_recv_buffer_size(bytes),
        }
    }
}

impl Drop for DatagramSocket {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Somebody else may have removed it already.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Binds a UDP address, `host:port`. Names are resolved and IPv4 is preferred; no host, `0.0.0.0`
/// and `[::]` take both families, as the reference's `udp` does.
///
/// # Errors
/// [`NetError::Config`] for what is no address; [`NetError::Listen`] when it cannot be bound.
pub fn listen_udp(endpoint: &str, family: IpFamily) -> Result<DatagramSocket, NetError> {
    let (host, port) = split_host_port(endpoint)?;
    let failed = |what| {
        move |e: io::Error| NetError::Listen {
            network: "udp",
            address: endpoint.to_owned(),
            what,
            why: describe(&e),
        }
    };
    let literal: Option<IpAddr> = match host {
        "" => Some(Ipv6Addr::UNSPECIFIED.into()),
        host => host.parse().ok(),
    };
    let socket = match (literal, family) {
        (Some(ip), IpFamily::Any) if ip.is_unspecified() => {
            bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), false)
                .or_else(|_| bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false))
        }
        (Some(ip), IpFamily::V4) if ip.is_unspecified() => {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false)
        }
        (Some(ip), family) => bind(SocketAddr::new(ip, port), family == IpFamily::V6),
        (None, family) => {
            let fits = |address: &SocketAddr| match family {
                IpFamily::V6 => address.is_ipv6(),
                IpFamily::V4 | IpFamily::Any => address.is_ipv4(),
            };
            let all = resolve_all(host, port).map_err(failed("lookup"))?;
            let any = all.first().filter(|_| family == IpFamily::Any);
            match all.iter().find(|address| fits(address)).or(any) {
                Some(address) => bind(*address, false),
                None => Err(io::Error::new(io::ErrorKind::NotFound, "no such host")),
            }
        }
    };
    let socket = socket
        .and_then(|socket| UdpSocket::from_std(socket.into()))
        .map_err(failed("bind"))?;
    Ok(DatagramSocket {
        inner: Inner::Udp(socket),
        path: None,
    })
}

fn bind(address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Binds a Unix datagram socket with these permissions (such as `0o622`). A socket file that is
/// there already is taken for a leftover and replaced, as the reference does.
///
/// # Errors
/// [`NetError::Listen`].
pub fn listen_unixgram(path: &str, permissions: u32) -> Result<DatagramSocket, NetError> {
    let failed = |what| {
        move |e: io::Error| NetError::Listen {
            network: "unixgram",
            address: path.to_owned(),
            what,
            why: describe(&e),
        }
    };
    let file = Path::new(path);
    if std::fs::symlink_metadata(file).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(file).map_err(failed("remove the old socket"))?;
    }
    let socket = UnixDatagram::bind(file).map_err(failed("bind"))?;
    // From here on the file goes with the socket.
    let socket = DatagramSocket {
        inner: Inner::Unix(socket),
        path: Some(file.to_owned()),
    };
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(permissions))
        .map_err(failed("chmod"))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    async fn received(socket: &DatagramSocket) -> (Vec<u8>, Option<SocketAddr>) {
        let mut buffer = [0; 64];
        let (length, sender) = socket.receive(&mut buffer).await.unwrap();
        (buffer[..length].to_vec(), sender)
    }

    #[tokio::test]
    async fn datagrams_come_with_their_sender() {
        for (endpoint, family, to) in [
            ("localhost:0", IpFamily::Any, "127.0.0.1"),
            (":0", IpFamily::Any, "127.0.0.1"),
            ("0.0.0.0:0", IpFamily::V4, "127.0.0.1"),
            ("127.0.0.1:0", IpFamily::V4, "127.0.0.1"),
        ] {
            let socket = listen_udp(endpoint, family).unwrap();
            let port = socket.local_addr().unwrap().port();
            let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            sender.send_to(b"a:1|c", (to, port)).unwrap();
            let from = sender.local_addr().unwrap();
            sender.send_to(b"b", (to, port)).unwrap();
            assert_eq!(received(&socket).await, (b"a:1|c".to_vec(), Some(from)));
            let mut buffer = [0; 64];
            assert_eq!(socket.try_receive(&mut buffer).unwrap(), Some(1));
            assert_eq!(socket.try_receive(&mut buffer).unwrap(), None);
        }
    }

    #[test]
    fn addresses_that_cannot_be_bound_are_named() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let first = listen_udp("127.0.0.1:0", IpFamily::Any).unwrap();
        let address = first.local_addr().unwrap().to_string();
        for (endpoint, says) in [
            (address.as_str(), "listen udp 127.0.0.1"),
            ("no-such-host.invalid:1", "lookup"),
            ("localhost", "host:port"),
        ] {
            let text = listen_udp(endpoint, IpFamily::Any).unwrap_err().to_string();
            assert!(text.contains(says), "{text}");
        }
    }

    #[tokio::test]
    async fn a_unix_socket_has_its_permissions_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let text = path.to_string_lossy().into_owned();
        // A leftover of a process that was killed.
        std::mem::forget(listen_unixgram(&text, 0o600).unwrap());
        let socket = listen_unixgram(&text, 0o622).unwrap();
        socket.set_receive_buffer(65_536).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o622);
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to(b"x", &path).unwrap();
        assert_eq!(received(&socket).await, (b"x".to_vec(), None));
        drop(socket);
        assert!(!path.exists());
        // What is no socket is not removed.
        std::fs::write(&path, "mine").unwrap();
        assert!(listen_unixgram(&text, 0o622).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}

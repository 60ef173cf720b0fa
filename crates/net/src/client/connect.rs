//! Outgoing connections: name look-up, TCP, proxy tunnel, TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::proxy::Proxy;
use crate::delegate::delegate_io;
use crate::error::{NetError, chain, describe};

/// The next address of a name is tried when one has not answered for so long (RFC 8305 section 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(300);
/// All addresses together, proxy and TLS handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer of a proxy to CONNECT.
const MAX_PROXY_ANSWER: usize = 8 << 10;

/// A connection, plain or under TLS.
pub(crate) enum Connection {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

delegate_io!(Connection: Tcp, Tls, Unix);

impl Connection {
    /// Whether TLS negotiated HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        match self {
            Connection::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            _ => false,
        }
    }
}

/// How to secure connections.
#[derive(Clone)]
pub(crate) struct TlsSettings {
    pub(crate) config: Arc<rustls::ClientConfig>,
    /// Instead of the host of the destination.
    pub(crate) server_name: Option<ServerName<'static>>,
}

impl TlsSettings {
    /// # Errors
    /// An override that is no server name.
    pub(crate) fn new(
        config: Arc<rustls::ClientConfig>,
        name_override: &str,
    ) -> Result<Self, NetError> {
        let server_name = match name_override {
            "" => None,
            name => Some(ServerName::try_from(name.to_owned()).map_err(|_| {
                NetError::Config(format!("tls.server_name_override {name:?} is no host name"))
            })?),
        };
        Ok(TlsSettings {
            config,
            server_name,
        })
    }

    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        host: &str,
        peer: &str,
    ) -> Result<Connection, NetError> {
        let failed = |why: String| NetError::Tls {
            peer: peer.to_owned(),
            why,
        };
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|_| failed(format!("{host:?} is no host name")))?,
        };
        let stream = TlsConnector::from(self.config.clone())
            .connect(name, stream)
            .await
            .map_err(|e| failed(explain(&e)))?;
        Ok(Connection::Tls(Box::new(stream)))
    }
}

/// The library's words, and what to do about the usual causes.
fn explain(e: &io::Error) -> String {
    let text = chain(e);
    let cure = if text.contains("UnknownIssuer") {
        "; set tls.ca_file to the authority that signed the server's certificate"
    } else if text.contains("not valid for name") || text.contains("NotValidForName") {
        "; use a host name of the certificate, or set tls.server_name_override"
    } else if text.contains("corrupt message") || text.contains("InvalidContentType") {
        "; the server does not seem to speak TLS on this port"
    } else {
        ""
    };
    format!("{text}{cure}")
}

/// Connects to `host:port`, by way of a proxy's tunnel if one is given, and secures the connection.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    tunnel: Option<&Proxy>,
    tls: Option<&TlsSettings>,
) -> Result<Connection, NetError> {
    let peer = format!("{host}:{port}");
    let work = async {
        let stream = match tunnel {
            None => tcp(host, port).await?,
            Some(proxy) => {
                let stream = tcp(&proxy.host, proxy.port).await?;
                open_tunnel(stream, proxy, host, port).await?
            }
        };
        match tls {
            None => Ok(Connection::Tcp(stream)),
            Some(tls) => tls.secure(stream, host, &peer).await,
        }
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => {
            let why = format!("no connection within {CONNECT_TIMEOUT:?}");
            Err(NetError::Connect {
                peer: peer.clone(),
                why,
            })
        }
    }
}

/// The addresses of a name, in the resolver's order.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, NetError> {
    let failed = |why: String| NetError::Resolve {
        host: host.to_owned(),
        why,
    };
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|e| failed(describe(&e)))?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(failed("no such host".to_owned()));
    }
    Ok(addresses)
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, NetError> {
    let addresses = resolve(host, port).await?;
    first_to_answer(&addresses)
        .await
        .map_err(|e| NetError::Connect {
            peer: format!("{host}:{port}"),
            why: describe(&e),
        })
}

/// Connects to one address.
pub(crate) async fn tcp_address(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_keepalive(true)?;
    Ok(stream)
}

/// Tries the addresses one after the other, without waiting long for any of them.
async fn first_to_answer(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied();
    let mut under_way = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    loop {
        let more = waiting
            .next()
            .map(|address| under_way.push(tcp_address(address)))
            .is_some();
        let patience = async {
            if more {
                tokio::time::sleep(NEXT_ADDRESS).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            answer = under_way.next() => match answer {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(e)) => last = e,
                None => return Err(last),
            },
            () = patience => {}
        }
    }
}

/// `CONNECT` (RFC 9110 section 9.3.6).
async fn open_tunnel(
    mut stream: TcpStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<TcpStream, NetError> {
    let failed = |why: String| NetError::Proxy {
        proxy: proxy.name(),
        why,
    };
    let authority = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(auth) = &proxy.auth {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(auth.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    for (name, value) in &proxy.connect_headers {
        request.extend_from_slice(name.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream
        .write_all(&request)
        .await
        .map_err(|e| failed(describe(&e)))?;
    let mut answer = Vec::with_capacity(512);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_PROXY_ANSWER {
            return Err(failed("its answer to CONNECT is too long".to_owned()));
        }
        // Byte by byte, so that nothing of the tunnel's own bytes is taken.
        let byte = stream.read_u8().await.map_err(|e| failed(describe(&e)))?;
        answer.push(byte);
    }
    let status = answer.split(|b| *b == b' ').nth(1).unwrap_or_default();
    match status {
        [b'2', _, _] => Ok(stream),
        b"407" => Err(failed(
            "it wants other credentials than those of proxy_url".to_owned(),
        )),
        other => {
            let status = String::from_utf8_lossy(other.get(..3).unwrap_or(other)).into_owned();
            Err(failed(format!(
                "it answered CONNECT {authority} with status {status}"
            )))
        }
    }
}

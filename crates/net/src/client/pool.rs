//! Connections of the HTTP client's pool.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection as PoolConnection};
use hyper_util::rt::TokioIo;

use super::connect::{Connection, TlsSettings, connect};
use super::proxy::ProxyRules;
use super::url::port_of;
use crate::error::NetError;

/// Opens connections for the pool.
#[derive(Clone)]
pub(super) struct Connector(pub(super) Arc<Route>);

pub(super) struct Route {
    pub(super) tls: TlsSettings,
    pub(super) proxy: ProxyRules,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("proxy", &self.0.proxy)
            .finish_non_exhaustive()
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Pooled;
    type Error = NetError;
    type Future = Pin<Box<dyn Future<Output = Result<Pooled, NetError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let route = self.0.clone();
        Box::pin(async move {
            let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
            let proxy = route.proxy.find(&url);
            let secure = url.scheme() == Some(&Scheme::HTTPS);
            let (io, proxied) = match &proxy {
                Some(proxy) if !secure => {
                    let io = connect(&proxy.host, proxy.port, None, None).await;
                    let failed = |e: NetError| NetError::Proxy {
                        proxy: proxy.name(),
                        why: e.to_string(),
                    };
                    (io.map_err(failed)?, true)
                }
                tunnel => {
                    let tls = secure.then_some(&route.tls);
                    (
                        connect(host, port_of(&url), tunnel.as_ref(), tls).await?,
                        false,
                    )
                }
            };
            let http2 = io.is_http2();
            Ok(Pooled {
                io: TokioIo::new(io),
                http2,
                proxied,
            })
        })
    }
}

/// A connection of the pool.
pub(super) struct Pooled {
    io: TokioIo<Connection>,
    http2: bool,
    /// Requests name the whole URL.
    proxied: bool,
}

impl PoolConnection for Pooled {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied);
        if self.http2 {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl hyper::rt::Read for Pooled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Pooled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}

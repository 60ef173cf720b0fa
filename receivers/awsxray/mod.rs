//! The `awsxray` receiver: segments of X-Ray SDKs by UDP become spans, and a proxy on TCP hands the SDKs
//! their sampling rules (AWS-36 to AWS-42).

mod config;
mod intake;
mod meters;
#[cfg(test)]
mod tests;

pub use config::Config;
use weir_aws::proxy::{Forwarder, ProxyServer};
use weir_core::{
    BoxFut, BuildCtx, BuildError, Fatal, Outputs, Receiver, ReceiverKind, Reference, Running,
    Signals, Stability, Stop,
};
use weir_net::datagram::{IpFamily, listen_udp};

use intake::Intake;

/// Asked of the kernel for datagrams that wait, in bytes; it gives at most `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Registration.
pub struct Kind;

impl ReceiverKind for Kind {
    const TYPE: &'static str = "awsxray";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::TRACES;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        config.references()
    }

    fn build(
        config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Box<dyn Receiver>, BuildError>> {
        Box::pin(async move { Ok(Box::new(AwsXray { config, cx }) as Box<dyn Receiver>) })
    }
}

struct AwsXray {
    config: Config,
    cx: BuildCtx,
}

impl AwsXray {
    /// The proxy. Without a region there is none and the program ends, as in the reference; that its
    /// address is taken (by another such proxy, as a rule) is no reason to lose the segments.
    async fn proxy(&self) -> Result<Option<ProxyServer>, Fatal> {
        let config = &self.config.proxy_server;
        let forwarder = Forwarder::new(config, &self.cx)
            .await
            .map_err(|error| Fatal(format!("proxy_server: {error}")))?;
        match ProxyServer::bind(config, forwarder, &self.cx) {
            Ok(server) => Ok(Some(server)),
            Err(error) => {
                tracing::error!(
                    "otelcol.component.id" = self.cx.id.as_str(),
                    "otelcol.component.kind" = "receiver",
                    "programs get no sampling rules here: {error}; give `proxy_server.endpoint` an \
                     address of its own"
                );
                Ok(None)
            }
        }
    }
}

impl Receiver for AwsXray {
    fn start(self: Box<Self>, out: Outputs, stop: Stop) -> BoxFut<'static, Result<Running, Fatal>> {
        Box::pin(async move {
            let Some(next) = out.traces else {
                return Ok(Box::pin(async { Ok(()) }) as Running);
            };
            let socket = listen_udp(&self.config.endpoint, IpFamily::Any)
                .map_err(|error| Fatal(error.to_string()))?;
            if let Err(error) = socket.set_receive_buffer(RECEIVE_BUFFER) {
                tracing::debug!(%error, "the receive buffer keeps its default size");
            }
            let proxy = self.proxy().await?;
            let intake = Intake::new(&self.cx, socket, next);
            Ok(Box::pin(async move {
                let proxy = async {
                    match proxy {
                        Some(proxy) => proxy.serve(stop.clone()).await,
                        None => Ok(()),
                    }
                };
                let ((), served) = tokio::join!(intake.run(stop.clone()), proxy);
                served.map_err(|error| Fatal(error.to_string()))
            }) as Running)
        })
    }
}

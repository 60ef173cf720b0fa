//! The `awsproxy` extension: a proxy that signs requests of local programs and hands them to an AWS
//! service, X-Ray by default (AWS-34, AWS-35).


use std::sync::Arc;

use weir_aws::proxy::{Forwarder, ProxyConfig, ProxyServer};
use weir_core::{
    BoxFut, BuildCtx, BuildError, Deadline, Extension, ExtensionKind, Fatal, Reference, Stability,
    Stop,
};

/// Keys of the extension.
pub type Config = ProxyConfig;

/// Registration.
pub struct Kind;

impl ExtensionKind for Kind {
    const TYPE: &'static str = "awsproxy";
    const STABILITY: Stability = Stability::Beta;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        vec![Reference::Listen {
            address: config.endpoint.clone(),
            key: "endpoint",
        }]
    }

    fn build(
        config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Arc<dyn Extension>, BuildError>> {
        Box::pin(async move {
            let proxy = AwsProxy {
                config,
                cx,
                stop: Stop::default(),
            };
            Ok(Arc::new(proxy) as Arc<dyn Extension>)
        })
    }
}

struct AwsProxy {
    config: Config,
    cx: BuildCtx,
    stop: Stop,
}

impl Extension for AwsProxy {
    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async move {
            let forwarder = Forwarder::new(&self.config, &self.cx)
                .await
                .map_err(|error| Fatal(error.to_string()))?;
            let server = ProxyServer::bind(&self.config, forwarder, &self.cx)
                .map_err(|error| Fatal(error.to_string()))?;
            let (id, stop) = (self.cx.id.to_string(), self.stop.clone());
            self.cx.tasks.spawn(&format!("extension {id}"), async move {
                if let Err(error) = server.serve(stop).await {
                    tracing::error!("otelcol.component.id" = id, "the proxy ended: {error}");
                }
            });
            Ok(())
        })
    }

    fn stop(&self, by: Deadline) -> BoxFut<'_, ()> {
        self.stop.stop(by);
        Box::pin(std::future::ready(()))
    }
}

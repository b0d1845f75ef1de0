use peercam_proto::route::Route;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counters of the HTTP surface.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    /// The one of them that is counted most often, so that it is not looked up.
    commands: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    route: &'static str,
    status: u16,
}

const COMMAND: Request = Request {
    route: Route::Command.as_str(),
    status: 200,
};

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::<Request, Counter>::default();
        Self {
            commands: requests.get_or_create_owned(&COMMAND),
            requests,
        }
    }
}

impl Metrics {
    /// Names the counters.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests answered, by route and status";
        registry.register("http_requests", help, self.requests.clone());
    }

    pub(super) fn request(&self, route: &'static str, status: u16) {
        let request = Request { route, status };
        if request == COMMAND {
            self.commands.inc();
        } else {
            self.requests.get_or_create(&request).inc();
        }
    }
}

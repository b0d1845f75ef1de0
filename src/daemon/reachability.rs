//! Keeps what the daemon says of itself as it is: its addresses in the LAN, and `endpoint.json`.

use std::time::Duration;

use peercam_proto::credential::EndpointId;
use peercam_task::boundary;
use tokio::sync::watch;

use super::{StartError, assembly::Assembly, listen::lan_hints, part::Part};
use crate::{
    access::DataDir,
    events::{Event, Events},
    reach::{self, Endpoint, Reachability},
};

/// Interval between looks for another address of the device.
pub(super) const ADDRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Publishes what is known, and adds what keeps it as it is.
pub(super) fn add(assembly: &mut Assembly) -> Result<(), StartError> {
    let (reach, device) = (assembly.reach.clone(), assembly.authority.device());
    let data_dir = assembly.data_dir.clone();
    let (events, published) = (assembly.events.clone(), reach.subscribe());
    let first = Endpoint::of(device, &published.borrow());
    data_dir.publish(&first)?;
    let parts = &mut assembly.parts;
    parts.add(Part::service("addresses", move |_| {
        watch_lan(reach.clone())
    }));
    parts.add(Part::service("endpoint.json", move |_| {
        let (data_dir, published) = (data_dir.clone(), published.clone());
        publish_changes(data_dir, first.clone(), device, published, events.clone())
    }));
    Ok(())
}

/// Keeps the addresses of the listeners in the LAN. Never returns.
async fn watch_lan(reach: watch::Sender<Reachability>) {
    let mut ticks = tokio::time::interval(ADDRESS_INTERVAL);
    loop {
        ticks.tick().await;
        let lan = lan_hints(&reach.borrow().listeners);
        reach.send_if_modified(|known| reach::replace(&mut known.lan, lan));
    }
}

/// Rewrites `endpoint.json` whenever what is in it changes, until nobody changes `reach` any more. What
/// was `first` in it is known.
async fn publish_changes(
    data_dir: DataDir,
    first: Endpoint,
    device: EndpointId,
    mut reach: watch::Receiver<Reachability>,
    events: Events,
) {
    let (mut told, mut written) = (first, None);
    while reach.changed().await.is_ok() {
        let now = Endpoint::of(device, &reach.borrow_and_update());
        if told != now {
            tracing::info!(lan = ?now.lan, udp = ?now.udp, "the device's addresses have changed");
            events.publish(Event::ReachabilityChanged);
            told = now.clone();
        }
        if written.as_ref() == Some(&now) {
            continue;
        }
        let (data_dir, text) = (data_dir.clone(), now.clone());
        let publish = move || data_dir.publish(&text);
        match boundary::blocking(boundary::Part::Service, "endpoint.json", publish).await {
            Ok(Ok(())) => {
                written = Some(now);
                continue;
            }
            Ok(Err(error)) => tracing::warn!(%error, "endpoint.json cannot be written"),
            Err(_) => {}
        }
        // It is tried again.
        tokio::time::sleep(ADDRESS_INTERVAL).await;
        reach.mark_changed();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use peercam_hal::clock::Clock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_is_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(directory.path()).unwrap();
        let file = data_dir.path().join("endpoint.json");
        let (reach, published) = watch::channel(Reachability::default());
        let device = EndpointId::new([1; 32]);
        let events = Events::new(Clock::start());
        let mut published_events = events.subscribe();
        let first = Endpoint::of(device, &reach.borrow());
        let publish = publish_changes(data_dir, first, device, published, events);
        let publish = tokio::spawn(publish);
        // Something that nobody can replace by a file.
        fs::create_dir(&file).unwrap();
        reach.send_modify(|reach| reach.udp.push("192.0.2.1:5".parse().unwrap()));
        tokio::time::sleep(ADDRESS_INTERVAL / 2).await;
        fs::remove_dir(&file).unwrap();
        tokio::time::sleep(ADDRESS_INTERVAL).await;
        let text = fs::read_to_string(&file).unwrap();
        let written: Endpoint = serde_json::from_str(&text).unwrap();
        assert_eq!(written, Endpoint::of(device, &reach.borrow()));
        // Whatever comes is written at once then.
        reach.send_modify(|reach| reach.udp.clear());
        tokio::time::sleep(ADDRESS_INTERVAL / 10).await;
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(r#""udp":[]"#), "{text}");
        drop(reach);
        publish.await.unwrap();
        // What is written again has not changed again.
        let told = std::iter::from_fn(|| published_events.try_recv());
        assert_eq!(told.count(), 2);
    }
}

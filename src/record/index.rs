use std::time::Duration;

use peercam_hal::{
    BoxFuture, HalError, Query, Recording, RecordingFile, RecordingIndex, RecordingReader,
};
use peercam_proto::media::{ChannelId, Content};

use super::{
    catalog::{Catalog, State},
    reader::{Fetched, Player},
    readers::Readers,
};

/// Timeout of waiting for a card that is being looked at.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(5);

/// The recordings of one channel.
pub(super) struct ChannelIndex {
    catalog: Catalog,
    readers: Readers,
    channel: ChannelId,
}

impl ChannelIndex {
    pub(super) fn new(catalog: Catalog, readers: Readers, channel: ChannelId) -> Self {
        Self {
            catalog,
            readers,
            channel,
        }
    }

    async fn wait_until_readable(&self) -> Result<(), HalError> {
        let mut states = self.catalog.state();
        if *states.borrow() == State::Starting {
            // What came of it is seen below.
            let settled = states.wait_for(|state| *state != State::Starting);
            let _ = tokio::time::timeout(CATALOG_TIMEOUT, settled).await;
        }
        match &*states.borrow() {
            State::Ready | State::Stuck(_) => Ok(()),
            State::Gone(reason) => Err(HalError::Failed(format!("the card is gone: {reason}"))),
            State::Starting => Err(HalError::Failed("the card is being looked at".to_owned())),
        }
    }
}

impl RecordingIndex for ChannelIndex {
    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<Recording>, HalError>> {
        Box::pin(async move {
            self.wait_until_readable().await?;
            Ok(self.catalog.list(self.channel, &query))
        })
    }

    fn open(&self, start_millis: i64) -> BoxFuture<'_, Result<Box<dyn RecordingReader>, HalError>> {
        let key = (self.channel, start_millis, Content::Video);
        Box::pin(async move {
            self.wait_until_readable().await?;
            let player = Player::open(self.catalog.clone(), self.readers.clone(), key).await?;
            Ok(Box::new(player) as Box<dyn RecordingReader>)
        })
    }

    fn fetch(
        &self,
        start_millis: i64,
        content: Content,
    ) -> BoxFuture<'_, Result<Box<dyn RecordingFile>, HalError>> {
        let key = (self.channel, start_millis, content);
        Box::pin(async move {
            self.wait_until_readable().await?;
            let fetched = Fetched::open(self.catalog.clone(), self.readers.clone(), key).await?;
            Ok(Box::new(fetched) as Box<dyn RecordingFile>)
        })
    }
}

use peercam_proto::{
    flv::{HevcForm, Muxer, TagBatch},
    media::Delivery,
};

/// Appends a frame as a tag, behind what a decoder must know first. `length` is that of the whole
/// stream, in milliseconds.
pub(super) fn append(
    batch: &mut TagBatch,
    muxer: &mut Option<Muxer>,
    hevc: HevcForm,
    length: Option<u64>,
    delivery: Delivery,
) {
    if let Some(tracks) = &delivery.new_tracks {
        let new = Muxer::new(tracks, hevc);
        batch.push_bytes(match muxer {
            None => new.preamble_of(tracks, length),
            Some(_) => new.sequence_headers(tracks, delivery.timestamp),
        });
        *muxer = Some(new);
    }
    let Some(muxer) = muxer else { return };
    let head = muxer.head(&delivery.frame, delivery.timestamp, delivery.composition_ms);
    batch.push(&head, delivery.frame.data);
}

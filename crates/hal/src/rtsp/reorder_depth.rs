//! Reordering depth: by how many places parameter sets say that pictures are reordered.

use h264_reader::{
    nal::{Nal as _, RefNal, sps::SeqParameterSet},
    rbsp::{BitRead, BitReaderError},
};

/// Depth of H.264: `max_num_reorder_frames` (ITU-T H.264 E.2.1); `None` if it is not there.
pub(super) fn h264(sps: &[u8]) -> Option<usize> {
    let sps = SeqParameterSet::from_bits(unit(sps)?.rbsp_bits()).ok()?;
    let said = sps.vui_parameters?.bitstream_restrictions?;
    Some(said.max_num_reorder_frames as usize)
}

/// Depth of H.265: `sps_max_num_reorder_pics` of the highest sub-layer (ITU-T H.265 7.3.2.2); `None` if it
/// cannot be read.
pub(super) fn h265(sps: &[u8]) -> Option<usize> {
    // A unit's header has two bytes, of which the reader knows one.
    reorder_pics(&mut unit(sps.get(1..)?)?.rbsp_bits()).ok()
}

/// The reader panics at an empty one.
fn unit(bytes: &[u8]) -> Option<RefNal<'_>> {
    (!bytes.is_empty()).then(|| RefNal::new(bytes, &[], true))
}

fn reorder_pics(bits: &mut impl BitRead) -> Result<usize, BitReaderError> {
    bits.skip(4, "sps_video_parameter_set_id")?;
    let highest: u8 = bits.read(3, "sps_max_sub_layers_minus1")?;
    bits.skip(1, "sps_temporal_id_nesting_flag")?;
    bits.skip(96, "profile_tier_level: general")?;
    let mut layers = Vec::new();
    for _ in 0..highest {
        let has_profile = bits.read_bool("sub_layer_profile_present_flag")?;
        layers.push((has_profile, bits.read_bool("sub_layer_level_present_flag")?));
    }
    if highest > 0 {
        bits.skip(2 * (8 - u32::from(highest)), "reserved_zero_2bits")?;
    }
    for (has_profile, has_level) in layers {
        let length = 88 * u32::from(has_profile) + 8 * u32::from(has_level);
        bits.skip(length, "profile_tier_level: sub_layer")?;
    }
    bits.read_ue("sps_seq_parameter_set_id")?;
    if bits.read_ue("chroma_format_idc")? == 3 {
        bits.skip(1, "separate_colour_plane_flag")?;
    }
    bits.read_ue("pic_width_in_luma_samples")?;
    bits.read_ue("pic_height_in_luma_samples")?;
    if bits.read_bool("conformance_window_flag")? {
        for _ in 0..4 {
            bits.read_ue("conf_win_offset")?;
        }
    }
    bits.read_ue("bit_depth_luma_minus8")?;
    bits.read_ue("bit_depth_chroma_minus8")?;
    bits.read_ue("log2_max_pic_order_cnt_lsb_minus4")?;
    // Of each sub-layer, or of the highest one only; that one is the last.
    let for_each = bits.read_bool("sps_sub_layer_ordering_info_present_flag")?;
    let count = if for_each { highest + 1 } else { 1 };
    let mut reordered = 0;
    for _ in 0..count {
        bits.read_ue("sps_max_dec_pic_buffering_minus1")?;
        reordered = bits.read_ue("sps_max_num_reorder_pics")?;
        bits.read_ue("sps_max_latency_increase_plus1")?;
    }
    Ok(reordered as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        base16ct::lower::decode_vec(text).expect("hexadecimal")
    }

    /// Parameter sets that x265 wrote, and what ffprobe calls `has_b_frames`.
    const HEVC: [(&str, usize, &str); 4] = [
        (
            "bframes=0",
            0,
            "4201010408000003009e0800000300003c90014101e2cb7524995e02dc080800100000030010000003019080",
        ),
        (
            "bframes=2:b-pyramid=0",
            1,
            "4201010408000003009e0800000300003c90014101e2cb22249265780b7020200040000003004000000642",
        ),
        (
            "bframes=3:b-pyramid=1",
            2,
            "4201010408000003009e0800000300003c90014101e2cb2b2c9265780b7020200040000003004000000642",
        ),
        (
            "bframes=3:b-pyramid=1:temporal-layers=1",
            2,
            "4201020408000003009e0800000300003f00009000a0402d2cb2b295964932bc05b81010002000000300200000030321",
        ),
    ];

    #[test]
    fn h265_says_it_in_every_set() {
        for (options, depth, sps) in HEVC {
            assert_eq!(h265(&hex(sps)), Some(depth), "{options}");
        }
    }

    #[test]
    fn what_is_damaged_says_nothing() {
        let (_, _, sps) = HEVC[3];
        let sps = hex(sps);
        for end in 0..24 {
            assert_eq!(h265(&sps[..end]), None, "{end}");
        }
        assert_eq!(h264(&[]), None);
        assert_eq!(h264(&[0x67, 0x64]), None);
        // x264 with its usual B-pictures, of which some are references.
        let sps = hex("6764000dacd94141fb011000000300100000030320f1429960");
        assert_eq!(h264(&sps), Some(2));
    }
}

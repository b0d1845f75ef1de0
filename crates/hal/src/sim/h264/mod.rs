//! A tiny H.264 encoder for drawn pictures: Constrained Baseline, one flat colour per 4×4 pixels.
//!
//! Macroblocks are Intra16x16 with DC coefficients only, or skipped where nothing changed. Real
//! cameras' pictures cannot be coded this way; drawn ones can, at a hundredth of the usual cost,
//! and every decoder shows them exactly. References are to ITU-T H.264 (08/2021).

mod bits;
mod cavlc;
mod residual;
mod tables;

use bits::BitWriter;
use residual::{Chroma, Luma};

use super::scene::Canvas;

/// Quantizer of every macroblock: fine enough that flat colours survive within 3 steps.
const QP: i32 = 20;
/// A macroblock whose cells all differ from the reference by at most this is skipped.
const SKIP_TOLERANCE: i32 = 6;

/// An encoder and the picture its decoders hold.
pub(super) struct Encoder {
    width: usize,
    height: usize,
    /// Macroblocks per row and column.
    columns: usize,
    rows: usize,
    reference: Canvas,
    frame_num: u32,
    idr_pic_id: u32,
}

impl Encoder {
    /// An encoder for pictures of `width` × `height` pixels.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let reference = Canvas::new(width, height);
        Self {
            width,
            height,
            columns: width.div_ceil(16),
            rows: height.div_ceil(16),
            reference,
            frame_num: 0,
            idr_pic_id: 0,
        }
    }

    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1) with 4-byte lengths.
    pub(super) fn config(&self) -> Vec<u8> {
        let (sps, pps) = (self.sps(), pps());
        let mut out = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1];
        for (index, set) in [sps, pps].into_iter().enumerate() {
            if index == 1 {
                out.push(1);
            }
            out.extend_from_slice(
                &u16::try_from(set.len())
                    .expect("parameter sets are tiny")
                    .to_be_bytes(),
            );
            out.extend_from_slice(&set);
        }
        out
    }

    /// Codes the picture as one NAL unit behind its 4-byte length.
    pub(super) fn encode(&mut self, picture: &Canvas, key: bool) -> Vec<u8> {
        let mut bits = BitWriter::with_capacity(16 * 1024);
        self.slice_header(&mut bits, key);
        let mut skipped = 0;
        for row in 0..self.rows {
            for column in 0..self.columns {
                if !key && self.unchanged(picture, column, row) {
                    skipped += 1;
                    continue;
                }
                if !key {
                    bits.ue(skipped);
                    skipped = 0;
                }
                self.macroblock(&mut bits, picture, column, row, key);
            }
        }
        if skipped > 0 {
            bits.ue(skipped);
        }
        nal_unit(if key { 0x65 } else { 0x41 }, &bits.finish())
    }

    /// 7.3.2.1.1: profile 66 with constraint sets 0 and 1, level 4.0, no VUI.
    fn sps(&self) -> Vec<u8> {
        let mut bits = BitWriter::with_capacity(16);
        bits.put(66, 8);
        bits.put(0xc0, 8);
        bits.put(40, 8);
        bits.ue(0); // seq_parameter_set_id
        bits.ue(4); // log2_max_frame_num_minus4: frame_num has 8 bits
        bits.ue(2); // pic_order_cnt_type: output order is decoding order
        bits.ue(1); // max_num_ref_frames
        bits.put(0, 1); // gaps_in_frame_num_value_allowed_flag
        bits.ue(self.columns as u32 - 1);
        bits.ue(self.rows as u32 - 1);
        bits.put(1, 1); // frame_mbs_only_flag
        bits.put(1, 1); // direct_8x8_inference_flag
        let crop_right = (self.columns * 16 - self.width) as u32 / 2;
        let crop_bottom = (self.rows * 16 - self.height) as u32 / 2;
        let cropped = crop_right + crop_bottom > 0;
        bits.put(u32::from(cropped), 1);
        if cropped {
            for edge in [0, crop_right, 0, crop_bottom] {
                bits.ue(edge);
            }
        }
        bits.put(0, 1); // vui_parameters_present_flag
        escaped(0x67, &bits.finish())
    }

    /// 7.3.3
    fn slice_header(&mut self, bits: &mut BitWriter, key: bool) {
        if key {
            self.frame_num = 0;
        }
        bits.ue(0); // first_mb_in_slice
        bits.ue(if key { 7 } else { 5 }); // slice_type: all I, all P
        bits.ue(0); // pic_parameter_set_id
        bits.put(self.frame_num & 0xff, 8);
        if key {
            bits.ue(self.idr_pic_id & 0xffff);
            self.idr_pic_id += 1;
            bits.put(0, 2); // no_output_of_prior_pics_flag, long_term_reference_flag
        } else {
            bits.put(0, 1); // num_ref_idx_active_override_flag
            bits.put(0, 1); // ref_pic_list_modification_flag_l0
            bits.put(0, 1); // adaptive_ref_pic_marking_mode_flag
        }
        bits.se(0); // slice_qp_delta
        bits.ue(1); // disable_deblocking_filter_idc
        self.frame_num += 1;
    }

    fn unchanged(&self, picture: &Canvas, column: usize, row: usize) -> bool {
        let near = |a: u8, b: u8| (i32::from(a) - i32::from(b)).abs() <= SKIP_TOLERANCE;
        let lines_near = |new: &[u8], old: &[u8]| new.iter().zip(old).all(|(&a, &b)| near(a, b));
        (0..4).all(|line| {
            lines_near(
                picture.luma_line(column, row * 4 + line),
                self.reference.luma_line(column, row * 4 + line),
            )
        }) && (0..2).all(|plane| {
            (0..2).all(|line| {
                let y = row * 2 + line;
                lines_near(
                    picture.chroma_line(plane, column, y),
                    self.reference.chroma_line(plane, column, y),
                )
            })
        })
    }

    /// 7.3.5: I_16x16 with DC prediction, no AC coefficients.
    fn macroblock(
        &mut self,
        bits: &mut BitWriter,
        picture: &Canvas,
        column: usize,
        row: usize,
        key: bool,
    ) {
        let luma = Luma::code(picture, &self.reference, column, row);
        let chroma = [0, 1].map(|plane| Chroma::code(picture, &self.reference, plane, column, row));
        let has_chroma = chroma.iter().any(Chroma::is_coded);
        // Table 7-11: I_16x16_2_0_0 and I_16x16_2_1_0; in P slices behind the five P types.
        let kind = 3 + 4 * u32::from(has_chroma);
        bits.ue(if key { kind } else { kind + 5 });
        bits.ue(0); // intra_chroma_pred_mode: DC
        bits.se(0); // mb_qp_delta
        cavlc::luma_dc(bits, &luma.levels);
        if has_chroma {
            for plane in &chroma {
                cavlc::chroma_dc(bits, &plane.levels);
            }
        }
        luma.store(&mut self.reference, column, row);
        for (plane, coded) in chroma.iter().enumerate() {
            coded.store(&mut self.reference, plane, column, row);
        }
    }
}

/// 7.3.2.2: CAVLC, one reference, deblocking under the slice's control.
fn pps() -> Vec<u8> {
    let mut bits = BitWriter::with_capacity(8);
    bits.ue(0); // pic_parameter_set_id
    bits.ue(0); // seq_parameter_set_id
    bits.put(0, 2); // entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
    bits.ue(0); // num_slice_groups_minus1
    bits.ue(0); // num_ref_idx_l0_default_active_minus1
    bits.ue(0); // num_ref_idx_l1_default_active_minus1
    bits.put(0, 3); // weighted_pred_flag, weighted_bipred_idc
    bits.se(QP - 26); // pic_init_qp_minus26
    bits.se(0); // pic_init_qs_minus26
    bits.se(0); // chroma_qp_index_offset
    bits.put(1, 1); // deblocking_filter_control_present_flag
    bits.put(0, 2); // constrained_intra_pred_flag, redundant_pic_cnt_present_flag
    escaped(0x68, &bits.finish())
}

/// A filler data NAL unit (7.3.2.7) of `bytes` in all, length included; decoders skip it.
pub(super) fn filler(bytes: usize) -> Vec<u8> {
    const OVERHEAD: usize = 4 + 1 + 1;
    let mut rbsp = vec![0xff; bytes.saturating_sub(OVERHEAD)];
    rbsp.push(0x80);
    nal_unit(0x0c, &rbsp)
}

fn nal_unit(header: u8, rbsp: &[u8]) -> Vec<u8> {
    let nal = escaped(header, rbsp);
    let mut out = Vec::with_capacity(4 + nal.len());
    out.extend_from_slice(
        &u32::try_from(nal.len())
            .expect("a picture is far below 4 GiB")
            .to_be_bytes(),
    );
    out.extend_from_slice(&nal);
    out
}

/// 7.4.1: emulation prevention.
fn escaped(header: u8, rbsp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rbsp.len() + rbsp.len() / 64 + 2);
    out.push(header);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        out.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_picture_costs_almost_nothing() {
        let mut encoder = Encoder::new(640, 360);
        let canvas = Canvas::new(640, 360);
        let key = encoder.encode(&canvas, true);
        let delta = encoder.encode(&canvas, false);
        assert!(
            key.len() > 100 && delta.len() < 16,
            "{} {}",
            key.len(),
            delta.len()
        );
        assert_eq!(key[4], 0x65);
        assert_eq!(delta[4], 0x41);
    }

    #[test]
    fn the_decoders_picture_stays_near_the_drawn_one() {
        let mut encoder = Encoder::new(640, 360);
        let mut canvas = Canvas::new(640, 360);
        for step in 0..20_usize {
            canvas.fill(|x, y| ((x * 7 + y * 13 + step * 31) % 220 + 16) as u8);
            encoder.encode(&canvas, step == 0);
            assert!(
                canvas.greatest_difference(&encoder.reference) <= 3,
                "step {step}"
            );
        }
    }

    #[test]
    fn no_start_code_can_appear_in_a_nal_unit() {
        assert_eq!(
            escaped(9, &[0, 0, 0, 0, 0, 3, 1]),
            [9, 0, 0, 3, 0, 0, 3, 0, 3, 1]
        );
    }

    #[test]
    fn filler_has_the_size_asked_for() {
        for size in [6, 100, 5000] {
            let nal = filler(size);
            assert_eq!(nal.len(), size);
            assert_eq!(
                u32::from_be_bytes([nal[0], nal[1], nal[2], nal[3]]) as usize,
                size - 4
            );
        }
    }
}

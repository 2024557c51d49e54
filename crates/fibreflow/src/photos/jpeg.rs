//! Whether a JPEG file is all there.
//!
//! Decoders are lenient: what is missing of a file that was cut off they paint grey, without a word. A grey photo would be
//! judged, and its contractor told that the work is bad.

/// Whether a file goes on to its end-of-image marker. What follows it, as some phones write, is no matter.
pub(super) fn is_whole(file: &[u8]) -> bool {
    file.starts_with(&[0xff, START_OF_IMAGE]) && end(file).is_some()
}

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;

/// Goes from marker to marker up to the end of the image; `None` if the file ends before.
fn end(file: &[u8]) -> Option<()> {
    let mut at = 2;
    loop {
        // Within the picture's data, 0xff is followed by a zero or by a restart marker; all others begin a segment.
        at += file.get(at..)?.windows(2).position(|pair| {
            pair[0] == 0xff && !matches!(pair[1], 0x00 | 0x01 | 0xd0..=START_OF_IMAGE | 0xff)
        })?;
        if file[at + 1] == END_OF_IMAGE {
            return Some(());
        }
        // A segment's length includes the two bytes that hold it. An embedded thumbnail lies within, its end marker too.
        let length = u16::from_be_bytes([*file.get(at + 2)?, *file.get(at + 3)?]);
        at += 2 + usize::from(length.max(2));
    }
}

#[cfg(test)]
mod tests {
    use image::{ImageEncoder, RgbImage, codecs::jpeg::JpegEncoder};
    use proptest::prelude::*;

    use super::*;

    fn file(width: u32, height: u32) -> Vec<u8> {
        let picture = RgbImage::from_fn(width, height, |x, y| {
            let noise = (x * 7919 + y * 104_729) % 251;
            image::Rgb([u8::try_from(noise).unwrap(), 255, 0])
        });
        let mut file = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 90);
        // A thumbnail within, with an end of its own.
        encoder.set_exif_metadata(b"II*\0 \xff\xd8 thumbnail \xff\xd9".to_vec()).unwrap();
        encoder.encode_image(&picture).unwrap();
        file
    }

    #[test]
    fn what_a_phone_adds_after_the_picture_is_no_matter() {
        assert!(is_whole(&[file(9, 5), b"SEFH trailer \xff\xe1".to_vec()].concat()));
    }

    proptest! {
        #[test]
        fn a_file_is_whole_and_no_beginning_of_it_is(width in 1_u32..60, height in 1_u32..60, part in 0.0..1.0_f64) {
            let file = file(width, height);
            prop_assert!(is_whole(&file));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a length")]
            let length = (file.len() as f64 * part) as usize;
            prop_assert!(!is_whole(&file[..length]));
        }

        #[test]
        fn whatever_the_bytes_are_there_is_an_answer(bytes: Vec<u8>) {
            is_whole(&[&[0xff, 0xd8], bytes.as_slice()].concat());
        }
    }
}

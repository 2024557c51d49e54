//! A photo as the model takes it: upright, small enough, a JPEG file without what the camera noted.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder,
    imageops::FilterType, metadata::Orientation,
};

use super::jpeg;

/// The largest file taken, in bytes.
pub(super) const LARGEST: usize = 10 * 1024 * 1024;

/// The most pixels taken: what the largest phone cameras make. A file of a few kilobytes can claim four billion.
const MOST_PIXELS: u64 = 50_000_000;

/// The most memory a decoded picture may take, in bytes.
const MOST_MEMORY: u64 = 4 * MOST_PIXELS;

/// The model sees no more detail than in so many pixels, and each costs part of its context.
const LARGEST_SIZE: (u32, u32) = (1280, 960);

const QUALITY: u8 = 85;

/// The width and height that a photo will have when it is made ready, or what is wrong with it.
///
/// The limits are checked before anything is decoded; then all of it is decoded, since only that shows whether it can be.
pub(super) fn check(file: &[u8]) -> Result<(u32, u32), String> {
    let (picture, orientation) = decode(file)?;
    let within = if lies_on_its_side(orientation) { turned(LARGEST_SIZE) } else { LARGEST_SIZE };
    let scaled = fit((picture.width(), picture.height()), within);
    Ok(if lies_on_its_side(orientation) { turned(scaled) } else { scaled })
}

/// A photo made ready, as a JPEG file, or what is wrong with it. The same file always makes the same photo.
pub(super) fn prepare(file: &[u8]) -> Result<Vec<u8>, String> {
    let (picture, orientation) = decode(file)?;
    let picture = upright(picture, orientation);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&picture).map_err(unreadable)?;
    Ok(jpeg)
}

fn decode(file: &[u8]) -> Result<(DynamicImage, Orientation), String> {
    if file.len() > LARGEST {
        return Err(format!("the photo has {} bytes, expected at most {LARGEST}", file.len()));
    }
    let Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) = image::guess_format(file) else {
        return Err("expected a JPEG or PNG photo".to_owned());
    };
    if format == ImageFormat::Jpeg && !jpeg::is_whole(file) {
        return Err(unreadable("the file is cut off"));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!("the photo has {width} × {height} pixels, expected at most {MOST_PIXELS}"));
    }
    // The limits above hold for what the decoder takes for itself, not for the picture it makes.
    if decoder.total_bytes() > MOST_MEMORY {
        let bytes = decoder.total_bytes();
        return Err(format!("the photo takes {bytes} bytes when decoded, expected at most {MOST_MEMORY}"));
    }
    // Notes of the camera that make no sense turn nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(unreadable)?, orientation))
}

fn unreadable(why: impl std::fmt::Display) -> String {
    format!("the photo cannot be read: {why}")
}

fn lies_on_its_side(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

fn turned((width, height): (u32, u32)) -> (u32, u32) {
    (height, width)
}

/// Scales a picture down and then turns it, which takes less memory than the other way round.
fn upright(picture: DynamicImage, orientation: Orientation) -> DynamicImage {
    let within = if lies_on_its_side(orientation) { turned(LARGEST_SIZE) } else { LARGEST_SIZE };
    let size = (picture.width(), picture.height());
    let scaled = fit(size, within);
    let small =
        if scaled == size { picture } else { picture.resize_exact(scaled.0, scaled.1, FilterType::Triangle) };
    // JPEG has no transparency.
    let mut small = DynamicImage::ImageRgb8(small.into_rgb8());
    small.apply_orientation(orientation);
    small
}

/// The largest size of the same proportions within another; never larger than it is, never nothing.
fn fit((width, height): (u32, u32), (most_width, most_height): (u32, u32)) -> (u32, u32) {
    if width <= most_width && height <= most_height {
        return (width, height);
    }
    let [w, h, most_w, most_h] = [width, height, most_width, most_height].map(u64::from);
    // The side that is longer than it may be by more decides.
    let (scaled_w, scaled_h) =
        if w * most_h >= h * most_w { (most_w, h * most_w / w) } else { (w * most_h / h, most_h) };
    let side = |pixels: u64| u32::try_from(pixels.max(1)).unwrap_or(u32::MAX);
    (side(scaled_w), side(scaled_h))
}

#[cfg(test)]
mod tests {
    use image::{ImageEncoder, Rgb, RgbImage, codecs::png::PngEncoder};
    use proptest::prelude::*;

    use super::*;

    /// Colours of the corners of an upright picture: above left, above right, below left, below right.
    const CORNERS: [[u8; 3]; 4] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]];

    fn corner_of(x: u32, y: u32, (width, height): (u32, u32)) -> [u8; 3] {
        CORNERS[usize::from(x * 2 >= width) + 2 * usize::from(y * 2 >= height)]
    }

    /// A file whose picture, turned as EXIF's definition of the orientation says, is upright and of this size.
    fn taken(size: (u32, u32), orientation: u16) -> Vec<u8> {
        let (width, height) = size;
        let stored = if (5..=8).contains(&orientation) { (height, width) } else { size };
        let picture = RgbImage::from_fn(stored.0, stored.1, |column, row| {
            // Where row 0 and column 0 are to be seen, by the table in section 4.6.4 of the standard.
            let (x, y) = match orientation {
                2 => (width - 1 - column, row),
                3 => (width - 1 - column, height - 1 - row),
                4 => (column, height - 1 - row),
                5 => (row, column),
                6 => (width - 1 - row, column),
                7 => (width - 1 - row, height - 1 - column),
                8 => (row, height - 1 - column),
                _ => (column, row),
            };
            Rgb(corner_of(x, y, size))
        });
        let mut file = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 95);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.encode_image(&picture).unwrap();
        file
    }

    fn exif(orientation: u16) -> Vec<u8> {
        let [low, high] = orientation.to_le_bytes();
        let head = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0";
        [head.as_slice(), &[low, high, 0, 0, 0, 0, 0, 0]].concat()
    }

    fn assert_upright(file: &[u8], size: (u32, u32)) {
        assert_eq!(check(file).unwrap(), size);
        let picture = image::load_from_memory(&prepare(file).unwrap()).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), size);
        let (right, below) = (size.0 * 7 / 8, size.1 * 7 / 8);
        for (x, y) in [(size.0 / 8, size.1 / 8), (right, size.1 / 8), (size.0 / 8, below), (right, below)] {
            let (seen, expected) = (picture.get_pixel(x, y).0, corner_of(x, y, size));
            let is_alike = seen.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 60);
            assert!(is_alike, "{seen:?} instead of {expected:?} at {x}, {y}");
        }
    }

    #[test]
    fn a_photo_taken_with_the_phone_turned_is_upright() {
        for orientation in 1..=8 {
            assert_upright(&taken((96, 64), orientation), (96, 64));
            assert_upright(&taken((64, 96), orientation), (64, 96));
        }
        // Numbers that EXIF does not know turn nothing.
        assert_upright(&taken((96, 64), 0), (96, 64));
        assert_upright(&taken((96, 64), 77), (96, 64));
    }

    #[test]
    fn a_large_photo_is_scaled_after_which_side_is_up() {
        assert_upright(&taken((2560, 1920), 1), (1280, 960));
        assert_upright(&taken((1536, 2048), 6), (720, 960));
        assert_upright(&taken((2048, 1024), 8), (1280, 640));
    }

    #[test]
    fn what_the_camera_noted_is_left_behind() {
        let prepared = prepare(&taken((96, 64), 6)).unwrap();
        let holds_exif = prepared.windows(4).any(|window| window == b"Exif");
        assert!(!holds_exif, "where a house is stays with its owner");
        assert_upright(&prepared, (96, 64));
    }

    #[test]
    fn a_screenshot_is_a_photo_too() {
        let mut file = Vec::new();
        let picture = image::RgbaImage::from_fn(64, 48, |x, y| {
            let [r, g, b] = corner_of(x, y, (64, 48));
            image::Rgba([r, g, b, 255])
        });
        PngEncoder::new(&mut file).write_image(&picture, 64, 48, image::ExtendedColorType::Rgba8).unwrap();
        assert_upright(&file, (64, 48));
        assert!(prepare(&file[..file.len() / 2]).unwrap_err().starts_with("the photo cannot be read"));
    }

    /// A picture that is small as a file and would not fit into memory.
    #[test]
    fn a_bomb_is_refused_before_it_is_decoded() {
        let mut bomb = taken((64, 48), 1);
        let frame = bomb.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        bomb[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        let error = prepare(&bomb).unwrap_err();
        assert_eq!(error, "the photo has 65535 × 65535 pixels, expected at most 50000000");

        // A PNG file of half as many pixels, of eight bytes each.
        let header =
            [b"IHDR".as_slice(), &6000_u32.to_be_bytes(), &5000_u32.to_be_bytes(), &[16, 6, 0, 0, 0]];
        let header = header.concat();
        let data = b"IDAT\x78\x9c";
        let chunk = |chunk: &[u8]| {
            let length = u32::try_from(chunk.len() - 4).unwrap();
            [&length.to_be_bytes(), chunk, &crc(chunk).to_be_bytes()].concat()
        };
        let deep = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(&header), chunk(data)].concat();
        assert_eq!(
            prepare(&deep).unwrap_err(),
            "the photo takes 240000000 bytes when decoded, expected at most 200000000"
        );
        let heavy = [taken((64, 48), 1), vec![0; LARGEST]].concat();
        assert!(prepare(&heavy).unwrap_err().contains("bytes, expected at most 10485760"));
    }

    /// The checksum of a chunk of PNG.
    fn crc(chunk: &[u8]) -> u32 {
        let step = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
        !chunk.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
    }

    #[test]
    fn a_photo_is_a_photo_by_what_it_holds() {
        let cut = taken((96, 64), 1);
        let cut = &cut[..cut.len() * 2 / 3];
        for file in
            [b"<html>", b"".as_slice(), b"\xff\xd8\xff\xe0 cut off", b"GIF89a\x01\0\x01\0\0\0\0;", cut]
        {
            let error = prepare(file).unwrap_err();
            let is_told =
                ["expected a JPEG", "the photo cannot be read"].iter().any(|text| error.starts_with(text));
            assert!(is_told, "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_photo_of_any_size_fits(width in 1_u32..=65_535, height in 1_u32..=65_535) {
            let (w, h) = fit((width, height), LARGEST_SIZE);
            prop_assert!((1..=1280).contains(&w) && (1..=960).contains(&h));
            prop_assert!(w <= width && h <= height, "never larger than it was");
            // As large as it may be, and within a pixel of its proportions.
            prop_assert!((w, h) == (width, height) || w == 1280 || h == 960);
            let across = i64::from(w) * i64::from(height) - i64::from(h) * i64::from(width);
            prop_assert!(across.abs() <= i64::from(width.max(height)), "{across}");
        }

        #[test]
        fn a_photo_of_any_size_and_orientation_is_upright(
            width in 48_u32..200, height in 48_u32..200, orientation in 1_u16..=8,
        ) {
            assert_upright(&taken((width, height), orientation), (width, height));
        }

        #[test]
        fn whatever_the_bytes_are_nothing_breaks(at in 2_usize..600, byte: u8) {
            let mut file = taken((64, 48), 6);
            let at = at % file.len();
            file[at] = byte;
            // Read or not, but never a panic, and never one of the two only.
            prop_assert_eq!(check(&file).is_ok(), prepare(&file).is_ok());
        }
    }
}

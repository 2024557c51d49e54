//! The photo store: S3, path-style, with real JPEG files.

use std::{
    collections::HashSet,
    io::Cursor,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use image::{ImageEncoder, ImageFormat, Rgb, RgbImage, codecs::jpeg::JpegEncoder};

use super::desk::{Desk, switchable};

/// The bucket there is.
pub const BUCKET: &str = "fibreflow-photos";

/// See the module. Every key names a photo of its own, 80 × 60. A word in the key makes it another:
///
/// | word | what is there |
/// | --- | --- |
/// | `missing` | nothing |
/// | `broken` | twenty bytes of a photo |
/// | `truncated` | two thirds of a photo |
/// | `text` | an error page |
/// | `rotated` | a photo taken with the phone turned: EXIF says so, the pixels lie on their side |
/// | `screenshot` | a PNG file |
/// | `large` | 2400 × 1800 pixels |
/// | `heavy` | a photo with eleven megabytes after it |
/// | `bomb` | a small file that claims to have 65535 × 65535 pixels |
#[derive(Debug)]
pub struct PhotoSandbox {
    pub(super) desk: Arc<Desk>,
    retaken: Mutex<HashSet<String>>,
}

switchable!(PhotoSandbox);

impl PhotoSandbox {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk, retaken: Mutex::default() }
    }

    pub(super) fn router(this: &Arc<Self>) -> Router {
        Router::new().route("/{bucket}/{*key}", get(object)).with_state(this.clone())
    }

    /// Puts another photo under a key.
    pub fn retake(&self, key: &str) {
        self.retaken.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
    }

    fn is_retaken(&self, key: &str) -> bool {
        self.retaken.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

async fn object(
    State(photos): State<Arc<PhotoSandbox>>,
    Path((bucket, key)): Path<(String, String)>,
) -> Response {
    let missing = |code: &str, what: &str| {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{what}</Message></Error>"
        );
        (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/xml")], text).into_response()
    };
    if bucket != BUCKET {
        return missing("NoSuchBucket", "The specified bucket does not exist");
    }
    if key.contains("missing") {
        return missing("NoSuchKey", "The specified key does not exist.");
    }
    let name = if photos.is_retaken(&key) { format!("{key}, retaken") } else { key };
    ([(header::CONTENT_TYPE, "image/jpeg")], file(&name)).into_response()
}

/// The file that a key names.
fn file(key: &str) -> Vec<u8> {
    let has = |word: &str| key.contains(word);
    if has("text") {
        return b"<html><body>Not found</body></html>".to_vec();
    }
    let picture = picture(key, if has("large") { (2400, 1800) } else { (80, 60) });
    if has("screenshot") {
        let mut file = Cursor::new(Vec::new());
        // Writing to memory does not fail.
        let _ = picture.write_to(&mut file, ImageFormat::Png);
        return file.into_inner();
    }
    let mut file = jpeg(&picture, has("rotated"));
    if has("broken") {
        file.truncate(20);
    }
    if has("truncated") {
        file.truncate(file.len() * 2 / 3);
    }
    if has("heavy") {
        file.resize(file.len() + 11 * 1024 * 1024, 0);
    }
    if has("bomb") {
        // Height and width, in the header of the frame.
        if let Some(frame) = file.windows(2).position(|marker| marker == [0xff, 0xc0]) {
            file[frame + 5..frame + 9].fill(0xff);
        }
    }
    file
}

/// A picture that its key determines.
fn picture(key: &str, (width, height): (u32, u32)) -> RgbImage {
    let shade = key.bytes().fold(0_u8, |shade, byte| shade.wrapping_mul(31).wrapping_add(byte));
    let part = |value: u32| u8::try_from(value % 256).unwrap_or_default();
    RgbImage::from_fn(width, height, |x, y| Rgb([part(x + u32::from(shade)), part(y), shade]))
}

fn jpeg(picture: &RgbImage, is_rotated: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new(&mut file);
    if is_rotated {
        // One entry, the orientation: what is above is to the right.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let _ = encoder.set_exif_metadata(exif.to_vec());
    }
    // Writing to memory does not fail.
    let _ = encoder.encode_image(picture);
    file
}

//! Ids: UUIDs of version 7, so that they sort by the time they were made.

use uuid::Uuid;

/// A new id as text, for a row that exists from now on.
pub fn new_id() -> String {
    #[expect(clippy::disallowed_methods, reason = "the one place where ids are made")]
    let id = Uuid::now_v7();
    id.to_string()
}

/// `N` random bytes from the operating system.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// `N` random bytes as `2 N` hex digits.
pub fn random_hex<const N: usize>() -> Result<String, getrandom::Error> {
    Ok(hex(&random_bytes::<N>()?))
}

/// The id of an action: `a_` and 128 random bits as 22 characters, so that nobody guesses one.
pub fn action_id() -> Result<String, getrandom::Error> {
    use base64::Engine as _;
    let bytes = random_bytes::<16>()?;
    Ok(format!("a_{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// SHA-256 of `bytes` as hex: how tokens are kept and how bodies are compared.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(bytes))
}

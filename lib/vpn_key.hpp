// The keys of a VPN's hosts: one that tinc uses, and an identity that vouches for what a host says of itself.
// Two, since one key should not serve two protocols.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_pkey_st;

namespace capsul {

/// An RSA public key of 4096 to 8192 bits, as tinc 1.0 uses them; as text, its PKCS#1 DER (RFC 8017 A.1.1) in
/// base64.
class RsaPublicKey {
  public:
    RsaPublicKey() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static RsaPublicKey parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    /// As tinc reads it: "-----BEGIN RSA PUBLIC KEY-----" and so on.
    [[nodiscard]] std::string to_pem() const;
    auto operator<=>(const RsaPublicKey&) const = default;

  private:
    explicit RsaPublicKey(std::string text) : text_(std::move(text)) {}
    friend struct RsaKeyPair;
    std::string text_;
};

/// A new key of tinc's: takes a second or so.
struct RsaKeyPair {
    std::string private_pem;
    RsaPublicKey public_key;
    /// Throws Error (internal).
    [[nodiscard]] static RsaKeyPair generate();
};

/// An Ed25519 public key (RFC 8032); as text, its 32 bytes in base64.
class Identity {
  public:
    Identity() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static Identity parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    /// Whether `signature`, in base64, is that of this identity under `text`.
    [[nodiscard]] bool has_signed(std::string_view text, std::string_view signature) const;
    auto operator<=>(const Identity&) const = default;

  private:
    explicit Identity(std::string text) : text_(std::move(text)) {}
    friend class PrivateIdentity;
    std::string text_;
};

class PrivateIdentity {
  public:
    /// Throws Error (internal).
    [[nodiscard]] static PrivateIdentity generate();
    /// From PEM (PKCS#8). Throws Error (invalid).
    [[nodiscard]] static PrivateIdentity parse(std::string_view pem);
    [[nodiscard]] std::string to_pem() const;
    [[nodiscard]] Identity identity() const;
    /// In base64.
    [[nodiscard]] std::string sign(std::string_view text) const;
    /// For OpenSSL; owned by this.
    [[nodiscard]] evp_pkey_st* native() const noexcept { return key_.get(); }

  private:
    struct Free {
        void operator()(evp_pkey_st* key) const noexcept;
    };
    explicit PrivateIdentity(evp_pkey_st* key) : key_(key) {}
    std::unique_ptr<evp_pkey_st, Free> key_;
};

} // namespace capsul

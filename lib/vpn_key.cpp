#include "lib/vpn_key.hpp"

#include "lib/base64.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <vector>

namespace capsul {
namespace {

constexpr int least_bits = 4096;
constexpr int most_bits = 8192;
constexpr std::size_t identity_size = 32;

struct FreeKey {
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

struct FreeContext {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

struct FreeBio {
    void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

const unsigned char* raw_bytes(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

[[noreturn]] void fail_openssl(const char* what) {
    throw Error(ErrorCode::internal, fmt::format("OpenSSL: {}", what));
}

[[noreturn]] void refuse_rsa(const std::string& why) {
    throw Error(ErrorCode::invalid, "not a key of tinc's: " + why);
}

std::string text_of(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return {data, static_cast<std::size_t>(size)};
}

Bio memory() {
    Bio bio(BIO_new(BIO_s_mem()));
    if (!bio) {
        fail_openssl("no memory");
    }
    return bio;
}

/// PKCS#1.
std::string public_der(EVP_PKEY* key) {
    const int size = i2d_PublicKey(key, nullptr);
    if (size <= 0) {
        fail_openssl("a public key cannot be written");
    }
    std::string der(static_cast<std::size_t>(size), '\0');
    auto* end = reinterpret_cast<unsigned char*>(der.data());
    i2d_PublicKey(key, &end);
    return der;
}

void check_exponent(EVP_PKEY* key) {
    BIGNUM* exponent = nullptr;
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1) {
        refuse_rsa("it has no exponent");
    }
    const bool usual = BN_is_word(exponent, RSA_F4) == 1;
    BN_free(exponent);
    if (!usual) {
        refuse_rsa("its exponent is not 65537");
    }
}

} // namespace

RsaPublicKey RsaPublicKey::parse(std::string_view text) {
    const auto der = base64_decode(text);
    if (!der || der->size() > most_bits) {
        refuse_rsa("it is no base64, or too long");
    }
    const unsigned char* start = raw_bytes(*der);
    const Key key(d2i_PublicKey(EVP_PKEY_RSA, nullptr, &start, static_cast<long>(der->size())));
    if (!key || public_der(key.get()) != *der) {
        refuse_rsa("it is no RSA public key");
    }
    const int bits = EVP_PKEY_get_bits(key.get());
    if (bits < least_bits || bits > most_bits) {
        refuse_rsa(fmt::format("it has {} bits, not {} to {}", bits, least_bits, most_bits));
    }
    check_exponent(key.get());
    return RsaPublicKey(std::string(text));
}

std::string RsaPublicKey::to_pem() const {
    constexpr std::size_t width = 64; // RFC 7468
    std::string pem = "-----BEGIN RSA PUBLIC KEY-----\n";
    for (std::string_view rest = text_; !rest.empty(); rest.remove_prefix(std::min(width, rest.size()))) {
        pem.append(rest.substr(0, width)).append("\n");
    }
    return pem + "-----END RSA PUBLIC KEY-----\n";
}

RsaKeyPair RsaKeyPair::generate() {
    const Key key(EVP_RSA_gen(static_cast<unsigned>(least_bits)));
    const Bio bio = memory();
    if (!key || PEM_write_bio_PrivateKey_traditional(bio.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                                     nullptr) != 1) {
        fail_openssl("no RSA key can be made");
    }
    return {text_of(bio.get()), RsaPublicKey(base64_encode(public_der(key.get())))};
}

Identity Identity::parse(std::string_view text) {
    const auto raw = base64_decode(text);
    if (!raw || raw->size() != identity_size) {
        throw Error(ErrorCode::invalid, "not an identity: 32 bytes in base64");
    }
    return Identity(std::string(text));
}

bool Identity::has_signed(std::string_view text, std::string_view signature) const {
    const auto raw = base64_decode(text_);
    const auto mark = base64_decode(signature);
    if (!raw || !mark) {
        return false;
    }
    const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw_bytes(*raw), raw->size()));
    const Context context(EVP_MD_CTX_new());
    return key && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
           EVP_DigestVerify(context.get(), raw_bytes(*mark), mark->size(), raw_bytes(text), text.size()) == 1;
}

void PrivateIdentity::Free::operator()(EVP_PKEY* key) const noexcept {
    EVP_PKEY_free(key);
}

PrivateIdentity PrivateIdentity::generate() {
    EVP_PKEY* const key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    if (key == nullptr) {
        fail_openssl("no Ed25519 key can be made");
    }
    return PrivateIdentity(key);
}

PrivateIdentity PrivateIdentity::parse(std::string_view pem) {
    const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    Key key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr) : nullptr);
    if (!key || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
        throw Error(ErrorCode::invalid, "not an Ed25519 private key");
    }
    return PrivateIdentity(key.release());
}

std::string PrivateIdentity::to_pem() const {
    const Bio bio = memory();
    if (PEM_write_bio_PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
        fail_openssl("a private key cannot be written");
    }
    return text_of(bio.get());
}

Identity PrivateIdentity::identity() const {
    std::string raw(identity_size, '\0');
    std::size_t size = raw.size();
    if (EVP_PKEY_get_raw_public_key(key_.get(), reinterpret_cast<unsigned char*>(raw.data()), &size) != 1) {
        fail_openssl("a public key cannot be written");
    }
    return Identity(base64_encode(raw));
}

std::string PrivateIdentity::sign(std::string_view text) const {
    const Context context(EVP_MD_CTX_new());
    std::array<unsigned char, 64> signature{};
    std::size_t size = signature.size();
    if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) != 1 ||
        EVP_DigestSign(context.get(), signature.data(), &size, raw_bytes(text), text.size()) != 1) {
        fail_openssl("nothing can be signed");
    }
    return base64_encode({reinterpret_cast<const char*>(signature.data()), size});
}

} // namespace capsul

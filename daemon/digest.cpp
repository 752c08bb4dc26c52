#include "daemon/digest.hpp"

#include "lib/error.hpp"

#include <array>
#include <fmt/format.h>
#include <openssl/evp.h>

namespace capsul {

void Hash::Free::operator()(evp_md_ctx_st* context) const noexcept {
    EVP_MD_CTX_free(context);
}

Hash::Hash(Kind kind) : context_(EVP_MD_CTX_new()) {
    const EVP_MD* type = kind == Kind::sha1 ? EVP_sha1() : kind == Kind::sha256 ? EVP_sha256() : EVP_sha512();
    if (!context_ || EVP_DigestInit_ex(context_.get(), type, nullptr) != 1) {
        throw Error(ErrorCode::internal, "no digest from OpenSSL");
    }
}

void Hash::add(std::string_view data) {
    if (EVP_DigestUpdate(context_.get(), data.data(), data.size()) != 1) {
        throw Error(ErrorCode::internal, "no digest from OpenSSL");
    }
}

std::string Hash::finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    if (EVP_DigestFinal_ex(context_.get(), digest.data(), &length) != 1) {
        throw Error(ErrorCode::internal, "no digest from OpenSSL");
    }
    return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + length, ""));
}

std::string sha256_hex(std::string_view data) {
    Hash hash(Hash::Kind::sha256);
    hash.add(data);
    return hash.finish();
}

} // namespace capsul

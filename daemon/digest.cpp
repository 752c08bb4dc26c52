#include "daemon/digest.hpp"

#include "lib/error.hpp"

#include <array>
#include <fmt/format.h>
#include <openssl/evp.h>

namespace capsul {

std::string sha256_hex(std::string_view data) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    if (EVP_Digest(data.data(), data.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
        throw Error(ErrorCode::internal, "SHA-256 is not available");
    }
    return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + length, ""));
}

} // namespace capsul

#include "lib/join_code.hpp"

#include "lib/base64.hpp"
#include "lib/error.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/random.h>

namespace capsul {
namespace {

constexpr std::string_view prefix = "capsul-join-";
constexpr std::size_t longest_code = 4096;
constexpr std::size_t secret_size = 32;
constexpr std::size_t checksum_size = 4;
constexpr std::size_t most_addresses = 16;
constexpr int code_version = 1;

/// The JSON in a code, with short keys since a person may have to type it.
struct Content {
    int version = code_version;
    Name network;
    std::vector<VpnAddress> addresses;
    JoinSecret secret;
    Identity inviter;
    Timestamp expires;
    static constexpr auto fields() {
        return field_list(required("v", &Content::version), required("n", &Content::network),
                          required("a", &Content::addresses), required("s", &Content::secret),
                          required("i", &Content::inviter), required("e", &Content::expires));
    }
};

[[noreturn]] void refuse(const std::string& why, const char* hint) {
    throw Error(ErrorCode::invalid, "the join code " + why, hint);
}

[[noreturn]] void refuse_mistyped() {
    refuse("has a wrong character, or one is missing", "copy all of it once more");
}

std::string checksum(std::string_view data) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(data.data(), data.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
        throw Error(ErrorCode::internal, "no digest from OpenSSL");
    }
    return {reinterpret_cast<const char*>(digest.data()), checksum_size};
}

std::string base64url_encode(std::string_view data) {
    std::string text = base64_encode(data);
    text.resize(std::min(text.find('='), text.size()));
    std::ranges::replace(text, '+', '-');
    std::ranges::replace(text, '/', '_');
    return text;
}

std::optional<std::string> base64url_decode(std::string_view url) {
    std::string text(url);
    if (text.find_first_of("+/=") != std::string::npos) {
        return std::nullopt;
    }
    std::ranges::replace(text, '-', '+');
    std::ranges::replace(text, '_', '/');
    text.resize((text.size() + 3) / 4 * 4, '=');
    return base64_decode(text);
}

/// The JSON, once it is clear that nothing was lost on the way.
std::string content_of(std::string_view code) {
    if (!code.starts_with(prefix)) {
        refuse("does not begin with \"capsul-join-\"",
               "`capsulctl network invite NAME` on a host of the VPN prints one");
    }
    if (code.size() > longest_code) {
        refuse(fmt::format("has {} characters, more than {}", code.size(), longest_code),
               "copy the code and nothing else");
    }
    std::string data = base64url_decode(code.substr(prefix.size())).value_or("");
    if (data.size() < checksum_size) {
        refuse_mistyped();
    }
    const std::string mark = data.substr(data.size() - checksum_size);
    data.resize(data.size() - checksum_size);
    if (checksum(data) != mark) {
        refuse_mistyped();
    }
    return data;
}

/// Before the rest, which a later version may have otherwise.
void check_version(const Json& content) {
    const auto version = content.is_object() ? content.find("v") : content.end();
    if (!content.is_object() || version == content.end() || !version->is_number_integer() ||
        version->get<std::int64_t>() != code_version) {
        refuse("is of a kind that is not known here", "use the same version of capsul on both hosts");
    }
}

} // namespace

JoinSecret JoinSecret::generate() {
    std::string bytes(secret_size, '\0');
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
        throw_errno(errno, "getrandom");
    }
    return JoinSecret(std::move(bytes));
}

JoinSecret JoinSecret::parse(std::string_view text) {
    auto bytes = base64_decode(text);
    if (!bytes || bytes->size() != secret_size) {
        throw Error(ErrorCode::invalid, "not a secret: 32 bytes in base64");
    }
    return JoinSecret(std::move(*bytes));
}

std::string JoinSecret::to_string() const {
    return base64_encode(bytes_);
}

JoinCode JoinCode::parse(std::string_view text) {
    const Json json = parse_json(content_of(text));
    check_version(json);
    auto content = decode<Content>(json, "join code");
    if (content.addresses.empty() || content.addresses.size() > most_addresses) {
        refuse(fmt::format("has {} addresses, not 1 to {}", content.addresses.size(), most_addresses), "");
    }
    return {std::move(content.network), std::move(content.addresses), std::move(content.secret),
            std::move(content.inviter), content.expires};
}

std::string JoinCode::to_string() const {
    const std::string json =
        dump_json(encode(Content{code_version, network, addresses, secret, inviter, expires}));
    return std::string(prefix) + base64url_encode(json + checksum(json));
}

} // namespace capsul

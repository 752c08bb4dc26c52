#include "lib/mac.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fmt/format.h>
#include <random>

namespace capsul {
namespace {

bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/// Whether `text` has hexadecimal digits except at each place where `separator` stands in `shape`.
bool has_shape(std::string_view text, std::string_view shape) {
    return text.size() == shape.size() &&
           std::equal(text.begin(), text.end(), shape.begin(),
                      [](char c, char wanted) { return wanted == 'x' ? is_hex(c) : c == wanted; });
}

/// FNV-1a (RFC 9923), 64 bit: spreads a UUID over the MAC space; no secrecy is needed.
std::uint64_t fnv1a(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    return hash;
}

} // namespace

Uuid Uuid::make() {
    std::random_device random;
    std::array<std::uint32_t, 4> word{random(), random(), random(), random()};
    word[1] = (word[1] & 0xffff0fff) | 0x4000;
    word[2] = (word[2] & 0x3fffffff) | 0x80000000;
    return Uuid(fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}", word[0], word[1] >> 16,
                            word[1] & 0xffff, word[2] >> 16, word[2] & 0xffff, word[3]));
}

Uuid Uuid::parse(std::string_view text) {
    if (!has_shape(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")) {
        throw Error(ErrorCode::invalid, "not a UUID in lower case");
    }
    return Uuid(std::string(text));
}

Mac Mac::parse(std::string_view text) {
    if (!has_shape(text, "xx:xx:xx:xx:xx:xx")) {
        throw Error(ErrorCode::invalid, "not an Ethernet address such as 02:00:00:00:00:01");
    }
    if (std::string_view("26ae").find(text[1]) == std::string_view::npos) {
        throw Error(ErrorCode::invalid, "not a unicast, locally administered Ethernet address",
                    "its second digit must be 2, 6, a or e");
    }
    return Mac(std::string(text));
}

Mac Mac::derive(const Uuid& vm, unsigned index) {
    return derive(vm, std::to_string(index));
}

Mac Mac::derive(const Uuid& of, std::string_view which) {
    const std::uint64_t hash = fnv1a(fmt::format("{}/{}", of.to_string(), which));
    return Mac(fmt::format("02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", (hash >> 32) & 0xff, (hash >> 24) & 0xff,
                           (hash >> 16) & 0xff, (hash >> 8) & 0xff, hash & 0xff));
}

Digest Digest::parse(std::string_view text) {
    constexpr std::string_view prefix = "sha256:";
    const bool ok = text.size() == prefix.size() + 64 && text.starts_with(prefix) &&
                    std::ranges::all_of(text.substr(prefix.size()), is_hex);
    if (!ok) {
        throw Error(ErrorCode::invalid, "not a digest of the form sha256:HEX");
    }
    return Digest(std::string(text));
}

} // namespace capsul

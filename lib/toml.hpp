// TOML files: records and configuration.
#pragma once

#include "lib/json.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace capsul {

/// TOML text as JSON, for decode(). Throws Error (invalid) "FILE:LINE:COLUMN: …". `file` is for errors only.
[[nodiscard]] Json toml_to_json(std::string_view text, std::string_view file);

/// The "FILE:LINE" at which a key path such as "server.threads" stands in TOML text; FILE alone when not
/// found.
[[nodiscard]] std::string toml_place(std::string_view text, std::string_view file, std::string_view key_path);

/// JSON as TOML text, keys in order; null members are left out. A leading `comment` becomes "# …" lines.
[[nodiscard]] std::string json_to_toml(const Json& json, std::string_view comment = {});

/// Bytes of a file that load_toml() takes.
inline constexpr std::size_t longest_toml = std::size_t{1} << 20U;

/// Reads a record. Throws Error naming the file, and the line where the mistake is; too_large.
template <class T>
[[nodiscard]] T load_toml(const std::filesystem::path& path);

namespace detail {
std::string read_toml_file(const std::filesystem::path& path);
[[noreturn]] void rethrow_at_place(const DecodeError& error, std::string_view text,
                                   const std::filesystem::path& path);
} // namespace detail

template <class T>
T load_toml(const std::filesystem::path& path) {
    const std::string text = detail::read_toml_file(path);
    const Json json = toml_to_json(text, path.string());
    try {
        return decode<T>(json);
    } catch (const DecodeError& error) {
        detail::rethrow_at_place(error, text, path);
    }
}

} // namespace capsul

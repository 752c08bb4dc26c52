// Amounts of bytes and of time, as people write them.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace capsul {

/// A number of bytes, more than zero. "1G" and "1GiB" are 1024^3, "1GB" is 1000^3, "4096" is bytes.
class Bytes {
  public:
    constexpr Bytes() = default;
    constexpr explicit Bytes(std::uint64_t count) : count_(count) {}
    /// Throws Error (invalid) on zero, on overflow and on anything that is not NUMBER[UNIT].
    [[nodiscard]] static Bytes parse(std::string_view text);
    /// The shortest exact form: "512M", "20G"; the plain number of bytes when
    /// no binary unit divides it.
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] constexpr std::uint64_t count() const noexcept { return count_; }
    auto operator<=>(const Bytes&) const = default;

  private:
    std::uint64_t count_ = 0;
};

/// "1.5 GiB": rounded, for people only.
[[nodiscard]] std::string human_size(std::uint64_t bytes);

/// A length of time, at least a millisecond, at most 30 days: "90s", "1h30m", "500ms", "5" (seconds).
class Duration {
  public:
    constexpr Duration() = default;
    constexpr explicit Duration(std::chrono::milliseconds value) : value_(value) {}
    [[nodiscard]] static Duration parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] constexpr std::chrono::milliseconds value() const noexcept { return value_; }
    auto operator<=>(const Duration&) const = default;

  private:
    std::chrono::milliseconds value_{0};
};

/// How long ago something was, as people write it: at most a hundred years, "30d", "12h". The unit has to be
/// there: who writes 30 hardly means seconds.
class Age {
  public:
    constexpr Age() = default;
    [[nodiscard]] static Age parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] constexpr std::chrono::milliseconds value() const noexcept { return value_; }
    auto operator<=>(const Age&) const = default;

  private:
    constexpr explicit Age(std::chrono::milliseconds value) : value_(value) {}
    std::chrono::milliseconds value_{0};
};

/// A moment, to the second, as RFC 3339 in UTC: "2026-11-22T03:37:03Z".
class Timestamp {
  public:
    Timestamp() = default;
    explicit Timestamp(std::chrono::sys_seconds value) : value_(value) {}
    [[nodiscard]] static Timestamp now();
    [[nodiscard]] static Timestamp parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] std::chrono::sys_seconds value() const noexcept { return value_; }
    auto operator<=>(const Timestamp&) const = default;

  private:
    std::chrono::sys_seconds value_{};
};

} // namespace capsul

// Identifiers that are made, not chosen.
#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace capsul {

/// A random (version 4) UUID, RFC 9562, in lower case with hyphens.
class Uuid {
  public:
    Uuid() = default;
    [[nodiscard]] static Uuid make();
    [[nodiscard]] static Uuid parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    auto operator<=>(const Uuid&) const = default;

  private:
    explicit Uuid(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

/// An Ethernet address: unicast and locally administered (02:… by derivation), lower case with colons.
class Mac {
  public:
    Mac() = default;
    [[nodiscard]] static Mac parse(std::string_view text);
    /// The address of a VM's NIC number `index`: the same for the same arguments.
    [[nodiscard]] static Mac derive(const Uuid& vm, unsigned index);
    /// Of one of many things that share an identifier: the same for the same arguments.
    [[nodiscard]] static Mac derive(const Uuid& of, std::string_view which);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    auto operator<=>(const Mac&) const = default;

  private:
    explicit Mac(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

/// "sha256:" and 64 lower-case hexadecimal digits.
class Digest {
  public:
    Digest() = default;
    [[nodiscard]] static Digest parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    /// The 64 digits.
    [[nodiscard]] std::string hex() const { return text_.substr(7); }
    auto operator<=>(const Digest&) const = default;

  private:
    explicit Digest(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

} // namespace capsul

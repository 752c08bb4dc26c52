// Invitations into a VPN: the code that a person carries to the host that is to join, the file that the
// inviting host keeps for as long as the invitation is open, and what the two hosts say to each other.
//
// The joining host connects with the secret (lib/tls.hpp) and says how it is called; it gets a bundle, with a
// slice kept for it, or hears why not. It makes its network and, on the same connection, hands over its own
// bundle; when capsuld on the inviting host has taken that in, the invitation is used up.
#pragma once

#include "lib/operation.hpp"
#include "lib/vpn.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// 32 random bytes; as text, in base64.
class JoinSecret {
  public:
    JoinSecret() = default;
    [[nodiscard]] static JoinSecret generate();
    /// Throws Error (invalid), without the text.
    [[nodiscard]] static JoinSecret parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
    auto operator<=>(const JoinSecret&) const = default;

  private:
    explicit JoinSecret(std::string bytes) : bytes_(std::move(bytes)) {}
    std::string bytes_;
};

/// As text "capsul-join-" and base64url (RFC 4648 5) of JSON and four bytes that tell of a mistyped
/// character.
struct JoinCode {
    Name network;                      ///< as the inviting host calls it
    std::vector<VpnAddress> addresses; ///< where it listens for whoever joins
    JoinSecret secret;
    Identity inviter;
    Timestamp expires; ///< by the clock of the inviting host; the joining one's may be wrong

    /// Throws Error (invalid).
    [[nodiscard]] static JoinCode parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    bool operator==(const JoinCode&) const = default;
};

/// The file of an open invitation (mode 0600), which capsuld writes and capsul-peer removes when it is used
/// up or over. What is handed out is peer/bundle.json as it is at that time, with the slice put in.
struct Invitation {
    JoinSecret secret;
    std::uint16_t port = 0;
    Timestamp expires;
    Cidr slice; ///< kept for whoever joins
    static constexpr auto fields() {
        return field_list(required("secret", &Invitation::secret), required("port", &Invitation::port),
                          required("expires", &Invitation::expires), required("slice", &Invitation::slice));
    }
};

/// What the joining host says first.
struct JoinHello {
    NodeName hello;
    static constexpr auto fields() { return field_list(required("hello", &JoinHello::hello)); }
};

/// The answer to that, with the bundle, and to the joining host's own bundle, with nothing; or a refusal.
struct JoinAnswer {
    std::optional<VpnBundle> bundle;
    std::optional<Problem> problem;
    static constexpr auto fields() {
        return field_list(optional("bundle", &JoinAnswer::bundle), optional("problem", &JoinAnswer::problem));
    }
};

/// Longer ones are refused.
inline constexpr std::size_t most_join_answer_bytes = most_bundle_bytes + 4096;

/// From the end of the first answer until the joining host has handed over its own bundle.
inline constexpr std::chrono::minutes joining_time{2};
/// For capsuld on the inviting host to take that in.
inline constexpr std::chrono::seconds taking_in_time{15};

} // namespace capsul

// Another host's capsulctl, run by ssh(1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace capsul::cli {

/// Whom to ask: "ssh://alice@host-a.example.org:2222", "ssh://[2001:db8::1]", "ssh://a-name-of-ssh-config".
/// What it holds cannot be taken for an option of ssh(1).
class SshUrl {
  public:
    /// Throws Error (invalid).
    [[nodiscard]] static SshUrl parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] const std::string& host() const noexcept { return host_; }
    [[nodiscard]] const std::string& user() const noexcept { return user_; } ///< empty: ssh(1) knows
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }      ///< 0: ssh(1) knows

  private:
    std::string user_;
    std::string host_;
    std::uint16_t port_ = 0;
};

/// The command line that runs `words` there. Its last word is for a shell of that host, and quoted for it;
/// `asks`: ssh(1) may ask for a password and about the host's key.
[[nodiscard]] std::vector<std::string> ssh_words(const SshUrl& url, const std::vector<std::string>& words,
                                                 bool asks);

/// Runs `capsulctl WORDS...` there, with `input`; what it prints. Its errors, and those of ssh(1), go to our
/// standard error. Throws Error that names the host: of the kind that the exit code tells; unreachable when
/// ssh(1) has failed.
[[nodiscard]] std::string run_capsulctl_at(const SshUrl& url, const std::vector<std::string>& words,
                                           std::string_view input, std::size_t limit);

} // namespace capsul::cli

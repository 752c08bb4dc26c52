#include "cli/remote_host.hpp"

#include "cli/run_command.hpp"
#include "cli/terminal.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <fmt/format.h>

namespace capsul::cli {
namespace {

constexpr std::string_view scheme = "ssh://";
constexpr std::string_view name_characters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
constexpr std::size_t longest_name = 253;
constexpr int ssh_failed = 255;
constexpr int no_such_command = 127;

[[noreturn]] void refuse(std::string_view text) {
    throw Error(ErrorCode::invalid, fmt::format("'{}' is not where ssh can go", text.substr(0, 64)),
                "write ssh://HOST, ssh://USER@HOST or ssh://USER@HOST:PORT");
}

/// A user, a host, or a name that ssh_config(5) knows: never an option, a path or a word of a shell.
bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= longest_name && text.front() != '-' &&
           text.find_first_not_of(name_characters) == std::string_view::npos;
}

bool is_ipv6(std::string_view text) {
    return text.size() <= longest_name && text.find(':') != std::string_view::npos &&
           text.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
}

/// Of ":2222".
std::uint16_t port_of(std::string_view text, std::string_view whole) {
    const std::string_view digits = text.substr(1);
    std::uint16_t port = 0;
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (text.front() != ':' || failure != std::errc{} || end != digits.data() + digits.size() || port == 0) {
        refuse(whole);
    }
    return port;
}

/// Takes the host off the front of `rest`.
std::string take_host(std::string_view& rest, std::string_view whole) {
    const bool in_brackets = rest.starts_with('[');
    const auto end = in_brackets ? rest.find(']') : std::min(rest.find(':'), rest.size());
    if (end == std::string_view::npos) {
        refuse(whole);
    }
    std::string host(in_brackets ? rest.substr(1, end - 1) : rest.substr(0, end));
    if (!(in_brackets ? is_ipv6(host) : is_name(host))) {
        refuse(whole);
    }
    rest.remove_prefix(in_brackets ? end + 1 : end);
    return host;
}

/// For any shell that a login may have: a plain word as it is, else in quotes.
std::string quoted(const std::string& word) {
    if (!word.empty() && word.find_first_not_of(name_characters) == std::string::npos) {
        return word;
    }
    std::string text = "'";
    for (const char c : word) {
        text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return text + "'";
}

/// The kind of failure that an exit code of capsulctl stands for.
ErrorCode code_of(int status) {
    for (const ErrorCode code : {ErrorCode::invalid, ErrorCode::not_found, ErrorCode::wrong_state,
                                 ErrorCode::timeout, ErrorCode::unreachable, ErrorCode::denied,
                                 ErrorCode::not_capable, ErrorCode::partial, ErrorCode::verification}) {
        if (exit_code(code) == status) {
            return code;
        }
    }
    return ErrorCode::internal;
}

/// ssh(1) that is interrupted ends with 255, as if it had failed, or even with 0.
bool was_interrupted(const CommandResult& result) {
    return result.interrupted || result.status == 128 + SIGINT || result.status == 128 + SIGQUIT;
}

[[noreturn]] void refuse_status(const SshUrl& url, int status, const std::string& command) {
    if (status == ssh_failed) {
        throw Error(ErrorCode::unreachable, fmt::format("{}: ssh has failed", url.to_string()),
                    "`ssh` to it by hand shows why; without a terminal it must get in without being asked");
    }
    if (status == no_such_command) {
        throw Error(ErrorCode::not_capable,
                    fmt::format("{}: there is no capsulctl in the PATH there", url.to_string()));
    }
    throw Error(code_of(status),
                fmt::format("{}: `{}` has failed there, with exit code {}", url.to_string(), command, status),
                "what it said is above");
}

} // namespace

SshUrl SshUrl::parse(std::string_view text) {
    if (!text.starts_with(scheme)) {
        refuse(text);
    }
    std::string_view rest = text.substr(scheme.size());
    SshUrl url;
    if (const auto at = rest.find('@'); at != std::string_view::npos) {
        url.user_ = rest.substr(0, at);
        rest.remove_prefix(at + 1);
        if (!is_name(url.user_)) {
            refuse(text);
        }
    }
    url.host_ = take_host(rest, text);
    url.port_ = rest.empty() ? std::uint16_t{0} : port_of(rest, text);
    return url;
}

std::string SshUrl::to_string() const {
    const bool brackets = host_.find(':') != std::string::npos;
    return fmt::format("{}{}{}{}{}", scheme, user_.empty() ? "" : user_ + "@",
                       brackets ? "[" + host_ + "]" : host_, port_ == 0 ? "" : ":",
                       port_ == 0 ? "" : std::to_string(port_));
}

std::vector<std::string> ssh_words(const SshUrl& url, const std::vector<std::string>& words, bool asks) {
    std::vector<std::string> all{"ssh", "-T",
                                 "-o",  "ConnectTimeout=30",
                                 "-o",  "ServerAliveInterval=15",
                                 "-o",  "ClearAllForwardings=yes"};
    if (!asks) {
        all.insert(all.end(), {"-o", "BatchMode=yes"});
    }
    if (url.port() != 0) {
        all.insert(all.end(), {"-p", std::to_string(url.port())});
    }
    if (!url.user().empty()) {
        all.insert(all.end(), {"-l", url.user()});
    }
    std::string command;
    for (const std::string& word : words) {
        command += (command.empty() ? "" : " ") + quoted(word);
    }
    all.insert(all.end(), {"--", url.host(), command});
    return all;
}

std::string run_capsulctl_at(const SshUrl& url, const std::vector<std::string>& words, std::string_view input,
                             std::size_t limit) {
    std::vector<std::string> command{"capsulctl"};
    command.insert(command.end(), words.begin(), words.end());
    const bool asks = can_ask();
    try {
        CommandResult result = run_command(ssh_words(url, command, asks), input, limit);
        if (was_interrupted(result)) {
            throw Error(ErrorCode::internal, fmt::format("{}: interrupted", url.to_string()));
        }
        if (result.status == 0) {
            return std::move(result.out);
        }
        refuse_status(url, result.status, fmt::format("{} {} {}", command[0], words.at(0), words.at(1)));
    } catch (const Error& error) {
        const std::string where = url.to_string();
        const bool named = std::string_view(error.what()).starts_with(where);
        const bool no_ssh = error.code() == ErrorCode::not_capable && !named;
        throw Error(error.code(), named ? error.what() : where + ": " + error.what(),
                    no_ssh ? "sudo apt install openssh-client" : error.hint());
    }
}

} // namespace capsul::cli

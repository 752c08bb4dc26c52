#include "daemon/journal.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// Of journald on a busy machine.
constexpr std::chrono::milliseconds longest_lag = 10s;

struct CloseJournal {
    void operator()(sd_journal* journal) const { sd_journal_close(journal); }
};
using Journal = std::unique_ptr<sd_journal, CloseJournal>;

void add_match(sd_journal* journal, const std::string& match) {
    sd_journal_add_match(journal, match.c_str(), 0);
}

std::string this_user() {
    return "_UID=" + std::to_string(::getuid());
}

std::string this_boot() {
    sd_id128_t boot{};
    std::array<char, SD_ID128_STRING_MAX> text{};
    return sd_id128_get_boot(&boot) < 0 ? std::string() : sd_id128_to_string(boot, text.data());
}

Journal open_journal(const ServiceStatus& run) {
    sd_journal* raw = nullptr;
    if (run.syslog_identifier.empty() || sd_journal_open(&raw, SD_JOURNAL_LOCAL_ONLY) < 0) {
        return nullptr;
    }
    Journal journal(raw);
    add_match(raw, this_user());
    add_match(raw, "_TRANSPORT=stdout");
    add_match(raw, "_BOOT_ID=" + this_boot());
    add_match(raw, "SYSLOG_IDENTIFIER=" + run.syslog_identifier);
    return journal;
}

std::string message_of(sd_journal* journal) {
    const void* data = nullptr;
    std::size_t size = 0;
    if (sd_journal_get_data(journal, "MESSAGE", &data, &size) < 0) {
        return {};
    }
    std::string text(static_cast<const char*>(data), size);
    text.erase(0, text.find('=') + 1);
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, '?');
    return text;
}

bool is_since(sd_journal* journal, std::uint64_t usec) {
    std::uint64_t written = 0;
    sd_id128_t boot{};
    return sd_journal_get_monotonic_usec(journal, &written, &boot) >= 0 && written >= usec;
}

std::vector<std::string> last_lines(sd_journal* journal, std::uint64_t since_usec, std::size_t count) {
    std::vector<std::string> lines;
    sd_journal_seek_tail(journal);
    while (lines.size() < count && sd_journal_previous(journal) > 0 && is_since(journal, since_usec)) {
        lines.push_back(message_of(journal));
    }
    std::ranges::reverse(lines);
    return lines;
}

} // namespace

std::vector<std::string> journal_lines(const ServiceStatus& run, std::size_t count,
                                       std::chrono::milliseconds patience) {
    const Journal journal = open_journal(run);
    if (!journal) {
        return {};
    }
    const auto end = std::chrono::steady_clock::now() + patience;
    while (true) {
        std::vector<std::string> lines = last_lines(journal.get(), run.exec_main_start_usec, count);
        const auto left = end - std::chrono::steady_clock::now();
        if (!lines.empty() || left <= left.zero()) {
            return lines;
        }
        sd_journal_wait(
            journal.get(),
            static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(left).count()));
    }
}

bool was_run(const ServiceStatus& run) {
    return run.exec_main_status < 200;
}

std::vector<std::string> last_words(const ServiceStatus& run, std::size_t count) {
    return journal_lines(run, count, was_run(run) ? longest_lag : 0s);
}

std::vector<std::string> journal_matches(const std::string& unit, const std::string& identifier,
                                         bool with_systemd) {
    const std::string user = this_user();
    std::vector<std::string> words{user, "_SYSTEMD_USER_UNIT=" + unit};
    words.insert(words.end(), {"+", user, "_TRANSPORT=stdout", "SYSLOG_IDENTIFIER=" + identifier});
    if (with_systemd) {
        words.insert(words.end(), {"+", user, "USER_UNIT=" + unit, "+", user, "COREDUMP_USER_UNIT=" + unit});
    }
    return words;
}

} // namespace capsul

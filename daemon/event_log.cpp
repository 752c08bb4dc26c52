#include "daemon/event_log.hpp"

#include "daemon/line_sender.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::size_t most_kept = 8'000;
constexpr std::size_t kept_after_cut = 4'000;
constexpr std::size_t longest_file = std::size_t{256} << 20U;

std::string line_of(const Event& event) {
    return dump_json(encode(event)) + "\n";
}

LineSender::Line gap_after(std::uint64_t id) {
    return std::make_shared<const std::string>(
        line_of({.id = id, .time = Timestamp::now(), .type = "gap", .target = {}, .data = Json::object()}));
}

} // namespace

class EventLog::State {
  public:
    explicit State(const std::filesystem::path& folder) : file_(folder / "events.ndjson") { load(); }

    void add(const std::string& type, const std::string& target, Json data) {
        const std::lock_guard lock(mutex_);
        ++newest_;
        kept_.push_back(std::make_shared<const std::string>(
            line_of({newest_, Timestamp::now(), type, target, std::move(data)})));
        save();
        std::erase_if(followers_, [this](const auto& reader) { return !tell(*reader); });
    }

    StreamResponse stream(const EventList& wanted) {
        const std::lock_guard lock(mutex_);
        LineSender::Opened opened = sender_.open();
        const std::uint64_t before_oldest = newest_ - kept_.size();
        const std::uint64_t since = wanted.since.value_or(before_oldest);
        if (since < before_oldest) {
            sender_.send(*opened.reader, gap_after(before_oldest));
        }
        const std::uint64_t known = std::clamp(since, before_oldest, newest_) - before_oldest;
        for (auto line = kept_.begin() + static_cast<std::ptrdiff_t>(known); line != kept_.end(); ++line) {
            sender_.send(*opened.reader, *line);
        }
        if (wanted.follow) {
            followers_.push_back(std::move(opened.reader));
        } else {
            sender_.end(*opened.reader);
        }
        return {"application/x-ndjson", std::move(opened.source), nullptr};
    }

  private:
    /// What the file holds of whole lines with consecutive ids, as far back as they go.
    void load() {
        try {
            const std::string content = read_file(file_, longest_file);
            std::size_t begin = 0;
            for (std::size_t end = content.find('\n'); end != std::string::npos;
                 end = content.find('\n', begin)) {
                load_line(content.substr(begin, end + 1 - begin));
                begin = end + 1;
            }
            file_is_good_ = file_is_good_ && begin == content.size();
        } catch (const Error& error) {
            if (error.code() != ErrorCode::not_found) {
                lose_file(error.what());
            }
        }
    }

    void load_line(const std::string& line) {
        try {
            const auto event = parse<Event>(line);
            if (event.id != newest_ + 1) {
                kept_.clear();
            }
            newest_ = event.id;
            kept_.push_back(std::make_shared<const std::string>(line));
        } catch (const Error&) {
            file_is_good_ = false; // cut off by a crash or a full disk; the next event writes the file anew
        }
    }

    void save() {
        try {
            if (kept_.size() > most_kept || !file_is_good_) {
                rewrite();
            } else {
                const UniqueFd file = open_file(file_, O_WRONLY | O_APPEND | O_CREAT);
                write_all(file.get(), *kept_.back(), file_.string());
            }
        } catch (const Error& error) {
            lose_file(error.what());
        }
    }

    void rewrite() {
        if (kept_.size() > most_kept) {
            kept_.erase(kept_.begin(), kept_.end() - kept_after_cut);
        }
        std::string content;
        for (const auto& line : kept_) {
            content += *line;
        }
        replace_file(file_, content);
        file_is_good_ = true;
    }

    /// The events go on in memory; says so once.
    void lose_file(const char* why) {
        if (file_is_good_) {
            fmt::print(stderr, "<4>events are not kept: {}\n", why);
        }
        file_is_good_ = false;
    }

    /// The newest event to a follower; false when it is not one any more.
    bool tell(LineSender::Reader& reader) {
        const LineSender::Sent sent = sender_.send(reader, kept_.back());
        if (sent == LineSender::Sent::too_far_behind) {
            const std::size_t unread = sender_.discard(reader);
            sender_.send(reader, gap_after(newest_ - 1 - unread));
            sender_.end(reader);
        }
        return sent == LineSender::Sent::yes;
    }

    const std::filesystem::path file_;
    std::mutex mutex_;
    std::deque<LineSender::Line> kept_; ///< the events up to `newest_`, one line each
    std::uint64_t newest_ = 0;
    bool file_is_good_ = true; ///< holds exactly `kept_`
    LineSender sender_;
    std::vector<std::shared_ptr<LineSender::Reader>> followers_;
};

EventLog::EventLog(const std::filesystem::path& folder, OnEvent on_event)
    : state_(std::make_shared<State>(folder)), on_event_(std::move(on_event)) {}
EventLog::~EventLog() = default;

void EventLog::add(const std::string& type, const std::string& target, Json data) {
    state_->add(type, target, std::move(data));
    if (on_event_) {
        on_event_(type, target);
    }
}

StreamResponse EventLog::stream(const EventList& wanted) {
    return state_->stream(wanted);
}

} // namespace capsul

#include "daemon/fetch/download.hpp"

#include "daemon/fetch/retries.hpp"
#include "lib/size.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <thread>

namespace capsul::fetch {

TransferLimits transfer_limits(const std::optional<std::string>& proxy, const FetchPatience& patience) {
    return {.proxy = proxy,
            .stall = std::chrono::ceil<std::chrono::seconds>(patience.stall.value()),
            .longest = std::chrono::seconds(0)};
}

void Download::run() {
    Retries retries(request_.patience);
    std::uint64_t furthest = part_.size();
    while (!part_.is_complete()) {
        try {
            try_once();
        } catch (const PassingError& error) {
            const auto wait = retries.wait_after(error, part_.size() > furthest);
            attempt_ = retries.attempt();
            progress_.tell_wait(error.what(), part_.size(), part_.remote().length, attempt_);
            std::this_thread::sleep_for(wait);
        }
        furthest = std::max(furthest, part_.size());
    }
    check_length(part_.size());
}

void Download::try_once() {
    accepted_ = false;
    Get get;
    get.url = request_.url;
    if (part_.can_go_on()) {
        get.from = part_.size();
        get.if_range = strong_validator(part_.remote().etag, part_.remote().last_modified);
    }
    transfer(get, transfer_limits(request_.proxy, request_.patience),
             {.begin = [this](const Head& head) { begin(head); },
              .data = [this](std::string_view data) { take(data); }});
    const auto& length = part_.remote().length;
    if (length && part_.size() < *length) {
        throw PassingError(ErrorCode::unreachable, fmt::format("{}: ended at {} of {} bytes",
                                                               shown(request_.url), part_.size(), *length));
    }
    part_.finish();
}

void Download::begin(const Head& head) {
    if (head.status != 416 && is_web_page_type(head.content_type)) {
        throw Error(ErrorCode::verification,
                    fmt::format("{}: is a web page ({}) and no disk", shown(head.url), head.content_type),
                    "open it in a browser: is it a page about the file, or one where to log in first?");
    }
    if (head.status == 206) {
        go_on(head);
    } else if (head.status == 416) {
        end_beyond(head);
    } else if (head.status == 200) {
        begin_whole(head);
    } else {
        throw Error(ErrorCode::unreachable, fmt::format("{}: the server answers with status {}, unasked",
                                                        shown(head.url), head.status));
    }
    accepted_ = true;
}

void Download::begin_whole(const Head& head) {
    if (head.length) {
        check_length(*head.length);
        space_.check(*head.length - std::min(part_.size(), *head.length)); // what is here makes room for it
    }
    part_.begin_again(remote_file(request_.url, head));
}

/// The rest of what is here, if it is that.
void Download::go_on(const Head& head) {
    const RemoteFile& known = part_.remote();
    const auto range = parse_content_range(head.content_range);
    const bool is_same = head.etag.empty() || head.etag == known.etag;
    const bool is_rest = range && range->first == part_.size() && part_.can_go_on() &&
                         (!known.length || !range->total || *range->total == *known.length);
    if (!is_same || !is_rest) {
        part_.begin_again(unknown_file(request_.url));
        throw PassingError(
            ErrorCode::unreachable,
            fmt::format("{}: the server sends another part than was asked for", shown(head.url)));
    }
    if (range->total) {
        check_length(*range->total);
        space_.check(*range->total - part_.size());
        if (!known.length) {
            part_.learn_length(*range->total);
        }
    }
}

/// There is nothing beyond what is here: that was all, if the server says how long it is.
void Download::end_beyond(const Head& head) {
    const auto range = parse_content_range(head.content_range);
    const auto& known = part_.remote().length;
    if (range && range->total == part_.size() && known.value_or(part_.size()) == part_.size() &&
        part_.can_go_on()) {
        part_.learn_length(part_.size());
        return;
    }
    part_.begin_again(unknown_file(request_.url));
    throw PassingError(ErrorCode::unreachable,
                       fmt::format("{}: the file has changed on the server", shown(head.url)));
}

void Download::check_length(std::uint64_t length) const {
    if (request_.size && length != *request_.size) {
        throw Error(ErrorCode::verification,
                    fmt::format("{}: has {} bytes, and not the {} that were announced", shown(request_.url),
                                length, *request_.size),
                    "it was damaged or changed, or is being published just now: try it later");
    }
    if (length > request_.max_size.count()) {
        throw Error(ErrorCode::too_large,
                    fmt::format("{}: is larger than the {} allowed", shown(request_.url),
                                human_size(request_.max_size.count())),
                    "max_size under [image] in capsuld.toml is the limit");
    }
}

void Download::take(std::string_view data) {
    fetched_ += data.size();
    const auto& length = part_.remote().length;
    if (length && part_.size() + data.size() > *length) {
        throw Error(ErrorCode::verification,
                    fmt::format("{}: the server sends more than the {} bytes that it told of",
                                shown(request_.url), *length));
    }
    if (part_.size() + data.size() > request_.size.value_or(request_.max_size.count())) {
        check_length(part_.size() + data.size());
    }
    space_.used(data.size());
    part_.append(data);
    progress_.tell(FetchPhase::downloading, part_.size(), length, attempt_);
}

} // namespace capsul::fetch

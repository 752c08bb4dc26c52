#include "daemon/systemd_bus.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

namespace capsul {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// How long calls wait for a manager that was there and went away: a re-execution takes less.
constexpr std::chrono::seconds come_back_limit{5};
constexpr milliseconds first_pause{10};
constexpr milliseconds longest_pause{1000};
constexpr std::uint64_t call_timeout_usec = 60'000'000;
constexpr std::string_view away_hint = "is the user's systemd running? `systemctl --user status` tells; "
                                       "`loginctl enable-linger` keeps it running "
                                       "without a login";

/// D-Bus address escaping: all but a few characters as %XX.
std::string address_of(const std::filesystem::path& socket) {
    constexpr std::string_view plain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_/.\\*";
    std::string address = "unix:path=";
    for (const char c : socket.native()) {
        if (plain.find(c) != std::string_view::npos) {
            address += c;
        } else {
            address += fmt::format("%{:02x}", static_cast<unsigned char>(c));
        }
    }
    return address;
}

Error away(const std::filesystem::path& socket, const std::string& why) {
    return {ErrorCode::not_capable,
            fmt::format("{}: cannot talk to the user's systemd: {}", socket.string(), why),
            std::string(away_hint)};
}

ErrorCode code_of_bus_error(std::string_view name) {
    if (name == "org.freedesktop.systemd1.NoSuchUnit" || name == SD_BUS_ERROR_FILE_NOT_FOUND) {
        return ErrorCode::not_found;
    }
    if (name == SD_BUS_ERROR_ACCESS_DENIED || name == SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED) {
        return ErrorCode::denied;
    }
    return name == SD_BUS_ERROR_NO_REPLY || name == SD_BUS_ERROR_TIMEOUT ? ErrorCode::timeout
                                                                         : ErrorCode::internal;
}

SystemdBus::Failure failure_of(const std::string& member, const sd_bus_error& error) {
    const std::string name = error.name == nullptr ? "" : error.name;
    const std::string words = error.message == nullptr ? name : error.message;
    return {name, Error(code_of_bus_error(name), fmt::format("systemd: {}: {}", member, words))};
}

/// Whether an sd-bus function failed because the other end has gone.
bool is_lost(int result) {
    return result == -ECONNRESET || result == -EPIPE || result == -ENOTCONN || result == -ESHUTDOWN;
}

UniqueFd make_eventfd() {
    UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) {
        throw_errno(errno, "eventfd");
    }
    return fd;
}

} // namespace

void check_bus(int result, const std::string& what) {
    if (result < 0) {
        throw_errno(-result, what);
    }
}

void SystemdBus::BusClose::operator()(sd_bus* bus) const noexcept {
    sd_bus_close_unref(bus);
}

void SystemdBus::SlotUnref::operator()(sd_bus_slot* slot) const noexcept {
    sd_bus_slot_unref(slot);
}

/// What sd-bus calls: C, so nothing may be thrown through it.
struct SystemdBus::Callbacks {
    static int on_answer(sd_bus_message* message, void* pointer, sd_bus_error*) noexcept {
        auto* const flight = static_cast<Flight*>(pointer);
        try {
            flight->bus->handle_answer(*flight, message);
        } catch (const std::exception&) {
            // The caller's reaction failed; there is nobody else to tell.
        }
        return 0;
    }

    static int on_message(sd_bus_message* message, void* self, sd_bus_error*) noexcept {
        try {
            static_cast<SystemdBus*>(self)->handle_signal(message);
        } catch (const std::exception&) {
            // A signal that does not read as documented is as good as none.
        }
        return 0;
    }
};

SystemdBus::SystemdBus(std::filesystem::path socket, Listener listener)
    : socket_(std::move(socket)), listener_(std::move(listener)), wake_(make_eventfd()),
      last_failure_(away(socket_, "not connected")), thread_([this] { run(); }) {}

SystemdBus::~SystemdBus() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    ::eventfd_write(wake_.get(), 1);
    thread_.join();
}

void SystemdBus::post(std::function<void()> task) {
    {
        const std::lock_guard lock(mutex_);
        tasks_.push_back(std::move(task));
    }
    ::eventfd_write(wake_.get(), 1);
}

void SystemdBus::run() {
    const auto stopping = [this] {
        const std::lock_guard lock(mutex_);
        return stopping_;
    };
    while (!stopping()) {
        run_tasks();
        keep_connected();
        process();
        send_waiting(); // what the callbacks asked for
        wait_for_work();
    }
    run_tasks(); // what was posted before the end gets its failure too
    disconnect();
    fail_waiting(Error(ErrorCode::unreachable, "the connection to systemd was closed"));
}

void SystemdBus::run_tasks() {
    std::vector<std::function<void()>> tasks;
    {
        const std::lock_guard lock(mutex_);
        tasks.swap(tasks_);
    }
    for (const auto& task : tasks) {
        task();
    }
}

/// Connects when it is time, or when somebody waits for a manager that has not been seen lately: they get
/// their answer, good or bad, at once.
void SystemdBus::keep_connected() {
    const bool asked = !waiting_.empty() && !may_come_back();
    if (!bus_ && (asked || Clock::now() >= next_attempt_)) {
        try {
            connect();
        } catch (const Error& error) {
            last_failure_ = error;
            disconnect();
        }
    }
    if (bus_) {
        send_waiting();
    } else if (!may_come_back()) {
        fail_waiting(last_failure_);
    }
}

bool SystemdBus::may_come_back() const {
    return last_alive_.has_value() && Clock::now() - *last_alive_ < come_back_limit;
}

void SystemdBus::connect() {
    sd_bus* bus = nullptr;
    check_bus(sd_bus_new(&bus), "sd_bus_new");
    bus_.reset(bus);
    check_bus(sd_bus_set_address(bus, address_of(socket_).c_str()), socket_.string());
    check_bus(sd_bus_add_filter(bus, nullptr, Callbacks::on_message, this), "sd_bus_add_filter");
    const int started = sd_bus_start(bus);
    if (started < 0) {
        throw away(socket_, std::generic_category().message(-started));
    }
    std::list<Call> held = std::exchange(waiting_, {});
    listener_.on_connected(); // what it calls goes first
    waiting_.splice(waiting_.end(), held);
}

/// Forgets the connection. What was not answered waits for the next one, if it may be repeated.
void SystemdBus::disconnect() noexcept {
    if (std::exchange(heard_, false)) {
        last_alive_ = Clock::now();
        pause_ = {};
    }
    std::list<Flight> flights = std::exchange(flights_, {});
    for (auto flight = flights.rbegin(); flight != flights.rend(); ++flight) {
        flight->slot.reset();
        if (flight->call.repeatable) {
            waiting_.push_front(std::move(flight->call));
        } else {
            flight->call.on_failure({"", away(socket_, "it went away before it answered")});
        }
    }
    bus_.reset();
    pause_ = std::clamp(pause_ * 2, first_pause, may_come_back() ? 10 * first_pause : longest_pause);
    next_attempt_ = Clock::now() + pause_;
}

void SystemdBus::process() {
    int result = 0;
    while (bus_ && (result = sd_bus_process(bus_.get(), nullptr)) > 0) {
    }
    if (bus_ && (result < 0 || sd_bus_is_open(bus_.get()) <= 0)) {
        last_failure_ = away(socket_, "it closed the connection");
        disconnect();
    }
}

void SystemdBus::wait_for_work() const {
    std::array<pollfd, 2> wanted{pollfd{wake_.get(), POLLIN, 0}, pollfd{-1, 0, 0}};
    std::optional<microseconds> timeout;
    if (bus_) {
        wanted[1] = {sd_bus_get_fd(bus_.get()), static_cast<short>(sd_bus_get_events(bus_.get())), 0};
        std::uint64_t until = 0; // of CLOCK_MONOTONIC, as is Clock
        if (sd_bus_get_timeout(bus_.get(), &until) > 0 && until != UINT64_MAX) {
            const auto left = Clock::time_point(microseconds(until)) - Clock::now();
            timeout = std::chrono::ceil<microseconds>(left);
        }
    } else {
        timeout = std::chrono::ceil<microseconds>(next_attempt_ - Clock::now());
    }
    const auto left = timeout ? std::chrono::ceil<milliseconds>(*timeout).count() : -1;
    ::poll(wanted.data(), wanted.size(),
           timeout ? static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)) : -1);
    eventfd_t count = 0;
    ::eventfd_read(wake_.get(), &count);
}

void SystemdBus::call(Call call) {
    waiting_.push_back(std::move(call));
}

void SystemdBus::send_waiting() {
    while (bus_ && !waiting_.empty()) {
        Call call = std::move(waiting_.front());
        waiting_.pop_front();
        send(std::move(call));
    }
}

void SystemdBus::send(Call call) {
    flights_.push_back(Flight{this, std::move(call), nullptr, {}});
    Flight& flight = flights_.back();
    flight.self = std::prev(flights_.end());
    try {
        sd_bus_message* message = nullptr;
        check_bus(sd_bus_message_new_method_call(bus_.get(), &message, "org.freedesktop.systemd1",
                                                 flight.call.path.c_str(), flight.call.interface.c_str(),
                                                 flight.call.member.c_str()),
                  "systemd: " + flight.call.member);
        const std::unique_ptr<sd_bus_message, decltype(&sd_bus_message_unref)> owner(message,
                                                                                     sd_bus_message_unref);
        if (flight.call.append) {
            flight.call.append(message);
        }
        sd_bus_slot* slot = nullptr;
        const int sent =
            sd_bus_call_async(bus_.get(), &slot, message, Callbacks::on_answer, &flight, call_timeout_usec);
        if (is_lost(sent)) {
            last_failure_ = away(socket_, "it closed the connection");
            disconnect(); // keeps the call for the next one
            return;
        }
        check_bus(sent, "systemd: " + flight.call.member);
        flight.slot.reset(slot);
    } catch (const Error& error) {
        const Call failed = std::move(flight.call);
        flights_.pop_back();
        failed.on_failure({"", error});
    }
}

void SystemdBus::fail_waiting(const Error& error) {
    for (const Call& call : std::exchange(waiting_, {})) {
        call.on_failure({"", error});
    }
}

void SystemdBus::handle_answer(Flight& flight, sd_bus_message* message) {
    if (sd_bus_is_open(bus_.get()) <= 0) {
        return; // not an answer: sd-bus tells that the connection is gone; disconnect() deals with the call
    }
    heard_ = true;
    const Call call = std::move(flight.call);
    flights_.erase(flight.self);
    if (const sd_bus_error* error = sd_bus_message_get_error(message); error != nullptr) {
        call.on_failure(failure_of(call.member, *error));
        return;
    }
    try {
        call.on_reply(message);
    } catch (const Error& error) {
        call.on_failure(
            {"", Error(ErrorCode::internal, fmt::format("systemd: {}: {}", call.member, error.what()))});
    }
}

void SystemdBus::handle_signal(sd_bus_message* message) {
    const char* const member = sd_bus_message_get_member(message);
    // sd-bus itself tells of the end of a connection by a signal.
    const bool own = sd_bus_message_is_signal(message, "org.freedesktop.DBus.Local", nullptr) > 0;
    if (sd_bus_message_is_signal(message, nullptr, nullptr) > 0 && member != nullptr && !own) {
        heard_ = true;
        listener_.on_signal(member, message);
    }
}

} // namespace capsul

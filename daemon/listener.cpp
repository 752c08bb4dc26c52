// Server: accepts connections, and ends.
#include "daemon/http_session.hpp"
#include "daemon/problem.hpp"

#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <fcntl.h>
#include <list>
#include <sys/eventfd.h>
#include <sys/socket.h>

namespace capsul {
namespace {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;
using boost::system::error_code;

constexpr long most_refusals = 64; ///< connections at once that are being told that they may not stay
constexpr std::chrono::milliseconds accept_pause{100};

std::size_t as_size(int number) {
    return static_cast<std::size_t>(number);
}

} // namespace

class Server::Listener {
  public:
    Listener(const Router& router, const ServerConfig& config, std::vector<UniqueFd> listeners, uid_t owner,
             const Patience& patience)
        : context_(router, config, patience),
          admission_(owner, config.group,
                     {as_size(config.connections), as_size(config.connections_per_user)}),
          stop_(context_.io, ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), tick_(context_.io),
          cut_off_(context_.io) {
        for (UniqueFd& listener : listeners) {
            ::fcntl(listener.get(), F_SETFL, O_NONBLOCK); // NOLINT(cppcoreguidelines-pro-type-vararg)
            doors_.emplace_back(context_.io, std::move(listener));
        }
    }

    void run(std::chrono::milliseconds interval, const std::function<void()>& tick) {
        for (Door& door : doors_) {
            wait_at(door);
        }
        stop_.async_wait(stream_descriptor::wait_read, [this](const error_code& failure) {
            if (!failure) {
                begin_stop();
            }
        });
        schedule(interval, tick);
        context_.io.run();
    }

    void stop() noexcept { ::eventfd_write(stop_.native_handle(), 1); }

  private:
    struct Door {
        Door(asio::io_context& io, UniqueFd fd) : listener(io, fd.get()), pause(io) {
            static_cast<void>(fd.release());
        }
        stream_descriptor listener;
        asio::steady_timer pause;
    };

    void schedule(std::chrono::milliseconds interval, const std::function<void()>& tick) {
        tick_.expires_after(interval);
        tick_.async_wait([this, interval, &tick](const error_code& failure) {
            if (!failure) {
                tick();
                schedule(interval, tick);
            }
        });
    }

    void wait_at(Door& door) {
        door.listener.async_wait(stream_descriptor::wait_read, [this, &door](const error_code& failure) {
            if (failure || context_.stopping) {
                return;
            }
            if (accept(door.listener.native_handle())) {
                wait_at(door);
            } else {
                pause_at(door);
            }
        });
    }

    /// Out of descriptors or memory: the connection stays in the queue, and asking again at once would only
    /// spin.
    void pause_at(Door& door) {
        door.pause.expires_after(accept_pause);
        door.pause.async_wait([this, &door](const error_code& failure) {
            if (!failure && !context_.stopping) {
                wait_at(door);
            }
        });
    }

    bool accept(int listener) {
        UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd) {
            return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
        }
        try {
            welcome(std::move(fd));
        } catch (...) {
            static_cast<void>(problem_of_current_exception("new connection"));
        }
        return true;
    }

    void welcome(UniqueFd fd) {
        const Peer peer = Peer::of(fd.get());
        Admission::Place place;
        try {
            place = admission_.admit(peer);
        } catch (const Error& error) {
            turn_away(std::move(fd), Problem::from(error));
            return;
        }
        std::make_shared<HttpSession>(context_, std::move(fd), std::move(place))->start();
    }

    void turn_away(UniqueFd fd, const Problem& problem) {
        if (refusals_.use_count() <= most_refusals) {
            std::make_shared<HttpSession>(context_, std::move(fd), refusals_)->start_refusal(problem);
        }
    }

    void begin_stop() {
        context_.stopping = true;
        tick_.cancel();
        for (Door& door : doors_) {
            door.listener.close();
            door.pause.cancel();
        }
        for (HttpSession* session : context_.sessions) {
            session->stop();
        }
        if (context_.sessions.empty()) {
            context_.io.stop();
        }
        cut_off_.expires_after(context_.patience.stop);
        cut_off_.async_wait([this](const error_code&) { context_.io.stop(); });
    }

    const Admission::Place refusals_ = std::make_shared<int>(0); ///< held by the sessions that only refuse
    SessionContext context_;
    Admission admission_;
    std::list<Door> doors_;
    stream_descriptor stop_;
    asio::steady_timer tick_;
    asio::steady_timer cut_off_;
};

Server::Server(const Router& router, const ServerConfig& config, std::vector<UniqueFd> listeners, uid_t owner,
               const Patience& patience)
    : listener_(std::make_unique<Listener>(router, config, std::move(listeners), owner, patience)) {}
Server::~Server() = default;

void Server::run(std::chrono::milliseconds interval, const std::function<void()>& tick) {
    listener_->run(interval, tick);
}

void Server::stop() noexcept {
    listener_->stop();
}

} // namespace capsul

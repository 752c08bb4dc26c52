#include "daemon/vm_service.hpp"

#include "daemon/cloud_init.hpp"
#include "daemon/port.hpp"
#include "daemon/vm_creation.hpp"
#include "daemon/vm_limits.hpp"
#include "daemon/vm_ports.hpp"
#include "daemon/vm_publish.hpp"
#include "daemon/vm_removal.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <sys/un.h>

namespace capsul {
namespace {

std::vector<PublishedPort> ports_of(const OtherVms& vms) {
    std::vector<PublishedPort> ports;
    for (const auto& vm : vms) {
        const auto more = all_ports(*vm);
        ports.insert(ports.end(), more.begin(), more.end());
    }
    return ports;
}

bool clashes(const PublishedPort& port, const std::vector<PublishedPort>& taken) {
    return std::ranges::any_of(taken, [&](const PublishedPort& other) { return other.clashes_with(port); });
}

std::vector<NicSpec> default_nics() {
    return {NicSpec{Name::parse(user_network), {}, {}, {}}};
}

/// What the caller says and what follows from the image.
VmRecord asked_for(const VmCreate& call, const ImageRecord& image) {
    VmRecord vm;
    vm.name = *call.name;
    vm.uuid = Uuid::make();
    vm.created = Timestamp::now();
    vm.image = call.image;
    vm.image_digest = image.digest;
    vm.boot = image.boot;
    vm.cpus = call.cpus;
    vm.memory = call.memory;
    vm.disk = call.disk.value_or(image.size);
    vm.publish = call.publish;
    vm.labels = call.labels;
    vm.autostart = call.autostart;
    vm.stop_timeout = call.stop_timeout;
    return vm;
}

/// What is known of a VM whose record cannot be read.
std::shared_ptr<const VmRecord> broken_vm(Store& store, const Name& name) {
    VmRecord vm;
    vm.name = name;
    vm.nics = nics_of_broken(store, name);
    return std::make_shared<const VmRecord>(std::move(vm));
}

/// sockaddr_un bounds a socket's path (unix(7)).
void check_socket_path(const fs::path& runtime) {
    const fs::path longest = runtime / "console.sock";
    if (longest.native().size() >= sizeof(sockaddr_un::sun_path)) {
        throw Error(ErrorCode::invalid,
                    fmt::format("name: {} is too long for a socket's path", longest.string()),
                    "choose a shorter name");
    }
}

} // namespace

VmService::Claim::Claim(VmService& service, const VmRecord& vm) : service_(service), name_(vm.name) {
    if (service_.claimed_.contains(name_)) {
        throw Error(ErrorCode::exists, about(name_, "is being made already"), "choose another name");
    }
    promise(vm);
}

VmService::Claim::~Claim() {
    const std::lock_guard lock(service_.plan_mutex_);
    service_.claimed_.erase(name_);
}

void VmService::Claim::promise(const VmRecord& vm) {
    service_.claimed_[name_] = std::make_shared<const VmRecord>(vm);
}

void VmService::check_new(const Name& name) const {
    if (host_.store.vms.exists(name) || fs::exists(host_.paths.vm(name))) {
        throw Error(ErrorCode::exists, about(name, "exists already"),
                    "choose another name, or delete it with `capsulctl vm delete " + name.to_string() + "`");
    }
    for (const std::string& unit : units_of(name)) {
        host_.units().require_free(unit);
    }
    check_socket_path(host_.paths.vm_runtime(name));
}

void VmService::check_create(const VmCreate& call, const Name& name) const {
    check_new(name);
    for (const auto& [key, value] : call.labels) {
        check_label(key, value);
    }
    check_memory(call.memory);
    check_publish(call.publish);
    if (call.user_data) {
        check_user_data(*call.user_data);
    }
    if (call.init_script) {
        check_init_script(*call.init_script);
    }
    require_qemu();
}

/// With plan_mutex_ held.
OtherVms VmService::others(const Name& name) const {
    OtherVms found;
    for (const auto& [other, record] : claimed_) {
        if (other != name) {
            found.push_back(record);
        }
    }
    for (const auto& other : host_.store.vms.list()) {
        if (other.name != name) {
            found.push_back(other.record ? other.record : broken_vm(host_.store, other.name));
        }
    }
    return found;
}

void VmService::choose_ssh_port(VmRecord& vm, const std::vector<PublishedPort>& taken) const {
    for (int number = host_.config.vm.ssh_port_first; number <= host_.config.vm.ssh_port_last; ++number) {
        const auto port = PublishedPort::tcp("127.0.0.1", static_cast<std::uint16_t>(number), 22);
        if (!clashes(port, vm.publish) && !clashes(port, taken) && try_bind(port) == 0) {
            vm.ssh_port = port.host_port();
            return;
        }
    }
    throw Error(ErrorCode::in_use, about(vm.name, "every port for ssh is taken"),
                "widen vm.ssh_port_first and vm.ssh_port_last in capsuld.toml");
}

/// The record, with what capsul chooses for the VM's life. With plan_mutex_ held.
VmRecord VmService::plan(const VmCreate& call, const ImageRecord& image) const {
    VmRecord vm = asked_for(call, image);
    if (vm.disk < image.size || vm.disk > host_.config.image.max_size) {
        throw Error(ErrorCode::invalid,
                    fmt::format("disk: {} is not between the image's size, {}, and the limit, {}",
                                vm.disk.to_string(), image.size.to_string(),
                                host_.config.image.max_size.to_string()));
    }
    choose_network(vm, call.networks.empty() ? default_nics() : call.networks);
    return vm;
}

/// NICs with their addresses, and ports. With plan_mutex_ held.
void VmService::choose_network(VmRecord& vm, const std::vector<NicSpec>& nics) const {
    const OtherVms present = others(vm.name);
    add_nics(vm, nics, host_.networks, present);
    choose_ports(vm, present);
}

/// With plan_mutex_ held.
void VmService::choose_ports(VmRecord& vm, const OtherVms& present) const {
    const std::vector<PublishedPort> taken = ports_of(present);
    for (const PublishedPort& port : vm.publish) {
        if (clashes(port, taken)) {
            throw Error(ErrorCode::in_use,
                        about(vm.name, fmt::format("port {} belongs to another VM", port.to_string())),
                        "`capsulctl vm list -o wide` shows the ports of each");
        }
    }
    check_publish(vm, host_.networks);
    if (has_user_nic(vm)) {
        choose_ssh_port(vm, taken);
    }
}

Operation VmService::create(const VmCreate& call) {
    VmCreate named = call;
    while (!named.name) {
        const Name name = made_up_name();
        named.name = host_.store.vms.exists(name) ? std::optional<Name>() : name;
    }
    check_create(named, *named.name);
    static_cast<void>(host_.images.usable(named.image));
    for (const NicSpec& nic : named.networks) {
        if (!is_user_network(nic.network)) {
            static_cast<void>(host_.networks.usable(nic.network));
        }
    }
    return submit_action(host_, "vm.create", *named.name,
                         [this, named](Progress& progress) { return make(named, *named.name, progress); });
}

Json VmService::make(const VmCreate& call, const Name& name, Progress& progress) {
    // Once more: an earlier action in the queue may have made it.
    check_create(call, name);
    progress.message("making its disk");
    HeldImage image = host_.images.hold(call.image);
    auto networks = host_.networks.hold();
    std::unique_lock planning(plan_mutex_);
    const VmRecord vm = plan(call, image.record);
    const Claim claim(*this, vm);
    planning.unlock();
    check_new(name); // a copy that was under way may have been finished meanwhile
    check_ports_free(name, vm.publish);
    try {
        write_new_files(host_, call, vm, image.record);
        host_.store.vms.save(vm);
        host_.networks.nics_changed(networks_of(vm));
        image.lock.unlock(); // from now on the record keeps the image and the networks
        networks.unlock();
        if (call.start) {
            power_.start(name, progress);
        }
    } catch (...) {
        if (networks.owns_lock()) {
            networks.unlock(); // what undoes it takes its own
        }
        undo(name, progress);
        throw;
    }
    host_.events.add("vm.created", name.to_string());
    return encode(view_.show(name));
}

/// Takes back a creation that failed half-way, for a reason that the caller tells.
void VmService::undo(const Name& name, Progress& progress) const {
    try {
        if (host_.store.vms.exists(name)) {
            power_.stop(name, {}, true, true, progress);
        }
        remove_vm_files(host_, name);
    } catch (const std::exception&) {
        // A VM that cannot be stopped stays, for all to see; what lies about is found by recover().
    }
}

Operation VmService::remove(const Name& name) {
    host_.require(name);
    return submit_action(host_, "vm.delete", name, [this, name](Progress& progress) {
        const Vm before = view_.show(name);
        progress.message("removing it");
        power_.stop(name, {}, true, true, progress);
        if (before.spec) {
            host_.images.touch(before.spec->image_digest);
        }
        remove_vm_files(host_, name);
        // One that was enabled when the user manager started is kept in its memory, as "not-found", until a
        // reload.
        if (!host_.systemd.list(vm_unit_name(name)).empty()) {
            host_.systemd.reload();
        }
        host_.events.add("vm.deleted", name.to_string());
        return encode(before);
    });
}

Operation VmService::add_nic(const VmNicAdd& call) {
    host_.require(call.name);
    return submit_action(host_, "vm.nic-add", call.name, [this, call](Progress& progress) {
        auto networks = host_.networks.hold();
        std::unique_lock planning(plan_mutex_);
        VmRecord vm = host_.store.vms.load(call.name);
        require_no_restore(vm);
        const VmRecord before = vm;
        add_nics(vm, {call.nic}, host_.networks, others(call.name));
        if (has_user_nic(vm) && vm.ssh_port == 0) {
            throw Error(ErrorCode::invalid, about(call.name, "a NIC on `user` is given at creation only"));
        }
        const auto newest = std::ranges::find_if(vm.nics, [&](const Nic& nic) {
            return std::ranges::find(before.nics, nic) == before.nics.end();
        });
        host_.store.vms.save(vm);
        planning.unlock();
        try {
            progress.message("plugging it in");
            plug_.plug(vm, *newest);
        } catch (...) {
            plug_.go_back(before, *newest);
            throw;
        }
        host_.events.add("vm.nic-added", call.name.to_string());
        return encode(view_.show(call.name));
    });
}

Operation VmService::remove_nic(const VmNicRemove& call) {
    host_.require(call.name);
    return submit_action(host_, "vm.nic-remove", call.name, [this, call](Progress& progress) {
        const VmRecord before = host_.store.vms.load(call.name);
        require_no_restore(before);
        VmRecord vm = before;
        const auto doomed = std::ranges::find(before.nics, call.slot, &Nic::slot);
        if (doomed == before.nics.end()) {
            throw Error(ErrorCode::not_found, about(call.name, fmt::format("has no NIC {}", call.slot)),
                        "`capsulctl vm nic list " + call.name.to_string() + "` shows those it has");
        }
        std::erase(vm.nics, *doomed);
        if (!has_user_nic(vm)) {
            vm.ssh_port = 0;
        }
        check_publish(vm, host_.networks);
        progress.message("waiting for the guest to let go of it");
        plug_.unplug(before, vm, *doomed, progress);
        host_.events.add("vm.nic-removed", call.name.to_string());
        return encode(view_.show(call.name));
    });
}

void VmService::recover() {
    std::set<Name> running;
    for (const UnitStatus& unit : host_.systemd.list("capsul-vm-*.service")) {
        const auto name = vm_of_unit(unit.name);
        if (!name || is_stopped(unit.active_state)) {
            continue;
        }
        running.insert(*name);
        if (unit.active_state == "active") {
            host_.monitors.adopt(*name);
        }
    }
    remove_leftovers(host_, running);
}

} // namespace capsul

#include "daemon/kvm_probe.hpp"

#include "daemon/process.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <linux/kvm.h>
#include <span>
#include <sys/ioctl.h>
#include <sys/mman.h>

namespace capsul {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t memory_size = 5 * page;
constexpr std::uint8_t port = 0xf4;
constexpr std::chrono::minutes hang_is_believed{10};

// Where things lie in the guest's memory, which its page tables map as it is.
constexpr std::uint64_t code_at = 0;
constexpr std::uint64_t top_table_at = page;
constexpr std::uint64_t middle_table_at = 2 * page;
constexpr std::uint64_t large_page_table_at = 3 * page;
constexpr std::uint64_t stack_top = 5 * page;

/// 64-bit code, since some nested KVMs emulate real mode and then hang in a real kernel:
///   cli; pushfq; pop rax; shr rax, 9; and al, 1 (the interrupt flag, now clear); mov rbx, cr3; mov cr3, rbx;
///   out 0xf4, al; hlt
constexpr std::array<unsigned char, 18> guest_code{0xfa, 0x9c, 0x58, 0x48, 0xc1, 0xe8, 0x09, 0x24, 0x01,
                                                   0x0f, 0x20, 0xdb, 0x0f, 0x22, 0xdb, 0xe6, port, 0xf4};

/// Memory shared with the kernel, unmapped at the end.
class Mapping {
  public:
    Mapping(std::size_t size, int flags, int fd)
        : size_(size), address_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0)) {
        if (address_ == MAP_FAILED) {
            throw_errno(errno, "mmap");
        }
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() { ::munmap(address_, size_); }
    [[nodiscard]] void* get() const { return address_; }

  private:
    std::size_t size_;
    void* address_;
};

template <class Argument>
int control(int fd, unsigned long request, Argument argument, const char* what) {
    const int result = ::ioctl(fd, request, argument); // NOLINT(cppcoreguidelines-pro-type-vararg)
    if (result < 0) {
        throw_errno(errno, what);
    }
    return result;
}

void store(const Mapping& memory, std::uint64_t at, std::uint64_t value) {
    std::memcpy(static_cast<unsigned char*>(memory.get()) + at, &value, sizeof value);
}

/// The code, and tables that map the first 2 MiB onto themselves (Intel SDM 3A, 4.5: present, writable; large
/// at the end).
void place_code(int vm, const Mapping& memory) {
    std::memcpy(static_cast<unsigned char*>(memory.get()) + code_at, guest_code.data(), guest_code.size());
    store(memory, top_table_at, middle_table_at | 3U);
    store(memory, middle_table_at, large_page_table_at | 3U);
    store(memory, large_page_table_at, 0x83U);
    kvm_userspace_memory_region region{};
    region.memory_size = memory_size;
    region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory.get()); // NOLINT: what the kernel wants
    control(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

void point_at_code(int cpu) {
    kvm_sregs special{};
    control(cpu, KVM_GET_SREGS, &special, "KVM_GET_SREGS");
    special.cr3 = top_table_at;
    special.cr4 = 0x20;       // PAE
    special.cr0 = 0x80050033; // PG, AM, WP, NE, ET, MP, PE
    special.efer = 0x500;     // LMA, LME
    kvm_segment code{};
    code.limit = 0xffffffff;
    code.selector = 0x08;
    code.type = 11;
    code.present = 1;
    code.s = 1;
    code.l = 1;
    code.g = 1;
    kvm_segment data = code;
    data.selector = 0x10;
    data.type = 3;
    data.l = 0;
    data.db = 1;
    special.cs = code;
    special.ds = special.es = special.fs = special.gs = special.ss = data;
    control(cpu, KVM_SET_SREGS, &special, "KVM_SET_SREGS");
    kvm_regs registers{};
    registers.rip = code_at;
    registers.rsp = stack_top;
    registers.rflags = 0x202; // with interrupts on, for the code to turn off
    control(cpu, KVM_SET_REGS, &registers, "KVM_SET_REGS");
}

// As C sees struct kvm_cpuid2: a C++ compiler gives the flexible array of <linux/kvm.h> another place.
struct CpuidTable {
    std::uint32_t count;
    std::uint32_t padding;
    std::array<kvm_cpuid_entry2, 256> entries;
};
constexpr unsigned long get_supported_cpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, 8);

/// SSE3, which every processor with hardware virtualisation has: a KVM that hides it is not one.
bool offers_sse3(int kvm) {
    CpuidTable table{};
    table.count = static_cast<std::uint32_t>(table.entries.size());
    control(kvm, get_supported_cpuid, &table, "KVM_GET_SUPPORTED_CPUID");
    const auto filled =
        std::span(table.entries).first(std::min<std::size_t>(table.count, table.entries.size()));
    return std::ranges::any_of(
        filled, [](const kvm_cpuid_entry2& entry) { return entry.function == 1 && (entry.ecx & 1U) != 0; });
}

bool runs_guest_code() {
    const UniqueFd kvm = open_file("/dev/kvm", O_RDWR);
    if (!offers_sse3(kvm.get())) {
        throw Error(ErrorCode::not_capable, kvm_is_incomplete);
    }
    const UniqueFd vm(control(kvm.get(), KVM_CREATE_VM, 0UL, "KVM_CREATE_VM"));
    const Mapping memory(memory_size, MAP_SHARED | MAP_ANONYMOUS, -1);
    place_code(vm.get(), memory);
    const UniqueFd cpu(control(vm.get(), KVM_CREATE_VCPU, 0UL, "KVM_CREATE_VCPU"));
    const int size = control(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0UL, "KVM_GET_VCPU_MMAP_SIZE");
    const Mapping shared(static_cast<std::size_t>(size), MAP_SHARED, cpu.get());
    point_at_code(cpu.get());
    control(cpu.get(), KVM_RUN, 0UL, "KVM_RUN");
    const auto* run = static_cast<const kvm_run*>(shared.get());
    const auto* sent = static_cast<const unsigned char*>(shared.get()) + run->io.data_offset;
    return run->exit_reason == KVM_EXIT_IO && run->io.port == port && *sent == 0;
}

/// What is remembered and still believed; empty when there is nothing.
std::string recall(const std::filesystem::path& file) {
    try {
        std::string text = read_file(file, 4096);
        const auto age =
            std::filesystem::file_time_type::clock::now() - std::filesystem::last_write_time(file);
        return text == kvm_hangs && age > hang_is_believed ? std::string() : text;
    } catch (const std::exception&) {
        return {};
    }
}

bool is_lasting(const KvmFinding& finding) {
    return finding.works || finding.reason == kvm_is_incomplete || finding.reason == kvm_runs_wrongly ||
           finding.reason == kvm_hangs;
}

} // namespace

KvmFinding probe_kvm() {
    try {
        return runs_guest_code() ? KvmFinding{true, {}} : KvmFinding{false, kvm_runs_wrongly};
    } catch (const Error& error) {
        return {false, error.what()};
    }
}

KvmFinding probe_kvm_in_child() {
    try {
        static_cast<void>(open_file("/dev/kvm", O_RDWR)); // needs no child to fail
        const auto result =
            run_process({std::filesystem::read_symlink("/proc/self/exe").string(), "--probe-kvm"},
                        std::chrono::seconds(3));
        return {result.status == 0, result.out};
    } catch (const Error& error) {
        return {false, error.code() == ErrorCode::timeout ? kvm_hangs : error.what()};
    }
}

KvmFinding remembered_kvm(const std::filesystem::path& folder, const std::function<KvmFinding()>& probe) {
    const auto file = folder / "kvm";
    if (const std::string known = recall(file); !known.empty()) {
        return {known == "works", known == "works" ? "" : known};
    }
    const KvmFinding finding = probe();
    if (is_lasting(finding)) {
        make_folders(folder);
        replace_file(file, finding.works ? "works" : finding.reason);
    }
    return finding;
}

} // namespace capsul

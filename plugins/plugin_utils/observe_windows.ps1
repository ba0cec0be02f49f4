# Looks at one PC and prints one line of JSON, which scepfix.parsers.windows_observation reads. It changes nothing.
# It has not met a real Windows yet: docs/try-on-windows.ps1 runs the same on yours.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'

# What one question could not answer becomes a problem; the others are still asked.
$problems = New-Object System.Collections.ArrayList
function Get-Answer {
    param([string] $Name, [scriptblock] $Question, $Otherwise = $null)
    # The comma keeps a list a list, of one or of none too.
    try { $said = & $Question; return , $said }
    catch {
        $null = $problems.Add("${Name}: $($_.Exception.Message)")
        return $Otherwise
    }
}

function Get-StoreCertificates {
    param([string] $Path)
    foreach ($one in Get-ChildItem -Path $Path) {
        [ordered]@{ raw_data = [Convert]::ToBase64String($one.RawData); has_private_key = $one.HasPrivateKey }
    }
}

# The certificates of a person who is not signed in here lie in files; the store itself shows them to nobody else.
function Get-PersonalFiles {
    foreach ($folder_of in Get-ChildItem -Path "$env:SystemDrive\Users" -Directory) {
        $folder = Join-Path $folder_of.FullName 'AppData\Roaming\Microsoft\SystemCertificates\My\Certificates'
        if (-not (Test-Path -LiteralPath $folder)) { continue }
        $files = Get-ChildItem -LiteralPath $folder -File -Force | Where-Object { $_.Length -lt 65536 } |
            Select-Object -First 200
        [ordered]@{
            person = $folder_of.Name
            files  = @(foreach ($file in $files) { [Convert]::ToBase64String([IO.File]::ReadAllBytes($file.FullName)) })
        }
    }
}

function Get-ScepNodes {
    $nodes = Get-CimInstance -Namespace 'root\cimv2\mdm\dmmap' -ClassName 'MDM_ClientCertificateInstall_SCEP01_01'
    foreach ($node in $nodes) {
        [ordered]@{
            instance_id = "$($node.InstanceID)"; thumbprint = "$($node.CertThumbprint)"
            status = $node.Status; error_code = $node.ErrorCode
        }
    }
}

function Get-EndOfLog {
    $folder = "$env:SystemRoot\System32\config\systemprofile\AppData\Local\Okta Device Access\Logs"
    if (-not (Test-Path -LiteralPath $folder)) { return '' }
    $newest = Get-ChildItem -LiteralPath $folder -File | Sort-Object LastWriteTimeUtc | Select-Object -Last 1
    if ($null -eq $newest) { return '' }
    $stream = New-Object IO.FileStream($newest.FullName, 'Open', 'Read', 'ReadWrite,Delete')
    try {
        $length = [int][Math]::Min($stream.Length, 65536)
        $null = $stream.Seek(-$length, 'End')
        $bytes = New-Object byte[] $length
        $read = $stream.Read($bytes, 0, $length)
        return [Convert]::ToBase64String($bytes, 0, $read)
    }
    finally { $stream.Dispose() }
}

function Get-OktaVerifyVersion {
    $keys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\*',
        'HKLM:\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\*'
    $found = Get-ItemProperty -Path $keys -ErrorAction SilentlyContinue |
        Where-Object { $_.PSObject.Properties['DisplayName'] -and $_.DisplayName -eq 'Okta Verify' } |
        Select-Object -First 1
    if ($null -eq $found) { return '' }
    return "$($found.DisplayVersion)"
}

function Get-Enrolled {
    $states = Get-ItemProperty -Path 'HKLM:\SOFTWARE\Microsoft\Enrollments\*' -ErrorAction SilentlyContinue |
        Where-Object { $_.PSObject.Properties['ProviderID'] -and $_.PSObject.Properties['EnrollmentState'] }
    if (@($states | Where-Object { $_.EnrollmentState -eq 1 }).Count -gt 0) { return $true }
    return $null
}

$system = Get-Answer 'system' { Get-CimInstance -ClassName Win32_OperatingSystem }
$principal = New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
$answer = [ordered]@{
    schema = 'scepfix/windows/1'
    time = Get-Answer 'time' { [DateTimeOffset]::UtcNow.ToUnixTimeSeconds() }
    administrator = $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
    computer_name = "$env:COMPUTERNAME"
    serial_number = Get-Answer 'serial number' { "$((Get-CimInstance -ClassName Win32_BIOS).SerialNumber)" } ''
    hardware_uuid = Get-Answer 'hardware UUID' { "$((Get-CimInstance -ClassName Win32_ComputerSystemProduct).UUID)" } ''
    os_version = if ($null -eq $system) { '' } else { "$($system.Version)" }
    os_build = if ($null -eq $system) { '' } else { "$($system.BuildNumber)" }
    local_machine = Get-Answer 'LocalMachine\My' { , @(Get-StoreCertificates 'Cert:\LocalMachine\My') }
    # Every Windows has roots: where none shows, the stores could not be read at all.
    roots = Get-Answer 'LocalMachine\Root' { @(Get-ChildItem -Path 'Cert:\LocalMachine\Root').Count } 0
    current_user = Get-Answer 'CurrentUser\My' { , @(Get-StoreCertificates 'Cert:\CurrentUser\My') }
    personal_files = Get-Answer 'personal certificates' { , @(Get-PersonalFiles) }
    scep = Get-Answer 'SCEP' { , @(Get-ScepNodes) }
    enrolled = Get-Answer 'enrolment' { Get-Enrolled }
    # The service's name is not documented; its shown name begins like this.
    service_present = Get-Answer 'service' {
        if (@(Get-Service -DisplayName 'Okta Device Access*').Count -gt 0) { $true } else { $null }
    }
    okta_verify_version = Get-Answer 'Okta Verify' { Get-OktaVerifyVersion } ''
    log = Get-Answer 'log' { Get-EndOfLog } ''
    problems = @($problems)
    whole = $true
}
[Console]::OutputEncoding = New-Object Text.UTF8Encoding($false)
$answer | ConvertTo-Json -Depth 6 -Compress
